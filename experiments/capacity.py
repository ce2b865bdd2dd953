"""Accuracy against the width of a single hidden layer, from too narrow to very wide.

python -m experiments.capacity

This is S3's information bottleneck: after a layer of two units, ten classes must be separated in a
plane. Similar widths train in one program, with units masked to 0 in the narrower networks; the
largest widths, for which masking would waste the most, train in separate programs. Takes about a
minute and a half on two CPU cores. With 5,000 training digits, the validation accuracy is 52 % with
2 units (23 to 61 % depending on the seed), 88 % with 8, 92.7 % with 64 and 94.1 % with 512. S3
warns that wide layers memorise the training data: from 64 units on, the training error is indeed
almost 0. But wide layers do not generalise worse here: the validation accuracy rises up to the
widest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.figure import Figure

from experiments import command_line, study
from experiments.figures import COLOURS, band, legend
from experiments.reports import summary
from experiments.runner import Run, seed_keys
from jaxnets.data import Split
from jaxnets.training import TrainStep
from jaxnets.training.population import PopulationResult, spread
from jaxnets.training.train_step import Hparams

GROUPS = ((2, 4, 8, 16, 32), (64, 128), (256,), (512,))  # each is one program


@dataclass(frozen=True)
class Config(study.Config):
    """Accuracy against the width of the hidden layer."""

    seeds: int = 10
    """Number of networks per width."""
    learning_rate: float = 0.002
    """Adam's."""
    epochs: int = 30
    examples: int = 5000


def group(run: Run, widths: Sequence[int], train: Split, validation: Split) -> PopulationResult:
    """All seeds of all widths, the members of the first width first, in one program."""
    config: Any = run.config
    widest = max(widths)

    def train_step(hparams: Hparams) -> TrainStep:
        model = study.classifier(widest, 10, widths=(hparams["width"],))
        return study.train_step(model, optax.adam(config.learning_rate))

    return run.fit_population(
        f"width-{widest}",
        train_step,
        train,
        keys=seed_keys(config.seed, config.seeds, times=len(widths)),
        hparams={"width": jnp.repeat(jnp.array(widths), config.seeds)},
        validation=validation,
    )


def draw(metrics: dict[str, dict[str, np.ndarray]], widths: Sequence[int], examples: int) -> Figure:
    """Accuracy and loss against width, in training and validation, with bands over the seeds."""
    figure = Figure(figsize=(13, 5.2), layout="constrained")
    title = f"Capacity: 784-width-10, trained on {examples:,} digits"
    figure.suptitle(title)
    panels = figure.subplots(1, 2)
    for axes, name, unit in zip(panels, ("accuracy", "loss"), ("", " (nats)"), strict=True):
        for split, colour in zip(metrics, COLOURS, strict=False):
            band(axes, widths, metrics[split][name], split, colour)
        axes.set(xscale="log", xlabel="units in the hidden layer", ylabel=name + unit)
        axes.set_xticks(widths, [str(width) for width in widths])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        legend(axes)
    narrowest = spread(metrics["validation"]["accuracy"][0]).mean
    panels[0].annotate(
        f"the bottleneck:\n{widths[0]} units, {narrowest:.0%} in validation",
        xy=(widths[0], narrowest),
        xytext=(0.03, 0.85),
        textcoords="axes fraction",
        fontsize=12,
        arrowprops={"arrowstyle": "->"},
    )
    return figure


def experiment(config: Config) -> dict[str, Any]:
    """Train every width with every seed, and draw training and validation metrics by width."""
    run, train, validation = study.start("capacity", config)
    last = [group(run, widths, train, validation).history[-1] for widths in GROUPS]
    widths = [width for group in GROUPS for width in group]

    def by_width(name: str, split: str) -> np.ndarray:
        values = np.concatenate([getattr(progress, split)[name] for progress in last])
        return values.reshape(len(widths), config.seeds)

    splits = {"training": "train", "validation": "validation"}
    metrics = {
        split: {name: by_width(name, field) for name in ("accuracy", "loss")}
        for split, field in splits.items()
    }
    accuracies = (metrics[split]["accuracy"] for split in splits)
    for width, training, validating in zip(widths, *accuracies, strict=True):
        print(f"{width:4} units: training {training.mean():.2%}, validation {spread(validating)}")
    result = {
        "learning_rate": config.learning_rate,
        "seeds": config.seeds,
        "widths": {
            str(width): {
                split: {name: summary(name, value[i]) for name, value in values.items()}
                for split, values in metrics.items()
            }
            for i, width in enumerate(widths)
        },
    }
    return study.write(run, result, draw(metrics, widths, len(train.x)))


if __name__ == "__main__":
    command_line.main(experiment, Config)
