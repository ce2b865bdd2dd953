"""Shared by the deck scripts: a constant learning rate, and results next to the slides'."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

import optax
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.configs import OPTIMIZERS, Optimizer, TrainingConfig
from jaxnets.training import FitResult
from jaxnets.training.report import write_json
from jaxnets.training.train_step import Hparams


@dataclass(frozen=True)
class Config(TrainingConfig):
    """The options of an experiment that trains, with the learning rate as on the slides."""

    optimizer: Optimizer = "adamw"
    """The optimizer, by its name."""
    learning_rate: float = 0.001
    """The constant learning rate."""

    @property
    def hparams(self) -> dict[str, float]:
        """The hyperparameters that `make_optimizer` reads."""
        return {"learning_rate": self.learning_rate}

    def make_optimizer(self, hparams: Hparams) -> optax.GradientTransformation:
        """The optimizer."""
        constructor, _ = OPTIMIZERS[self.optimizer]
        return constructor(hparams["learning_rate"])


class Row(NamedTuple):
    """One result: its name, the slide's number or claim, and ours."""

    what: str
    slide: str
    here: str


def compare(folder: Path, *rows: tuple[str, str, str]) -> None:
    """Print our results next to the slides', and write them to slides.json."""
    table = [Row(*row) for row in rows]
    widths = [max(len(row[column]) for row in [Row._fields, *table]) for column in (0, 1)]
    for row in [Row("", "slide", "here"), *table]:
        print(f"{row.what:{widths[0]}}  {row.slide:{widths[1]}}  {row.here}", flush=True)
    write_json(folder / "slides.json", [row._asdict() for row in table])


def mean_and_std(values: Sequence[float]) -> str:
    """The mean of accuracies, and their standard deviation (ddof=1) if there are several."""
    std = f" +- {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{fmean(values):.4f}{std} (n = {len(values)})"


def validation_curves(runs: Mapping[str, FitResult], title: str) -> Figure:
    """Loss and accuracy on the validation split, by epoch, a line per run."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(title)
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for label, result in runs.items():
            evaluated = [p for p in result.history if p.validation is not None]
            values = [p.validation[name] for p in evaluated]
            axes.plot([p.epoch for p in evaluated], values, "o-", markersize=4, label=label)
        axes.set(xlabel="epoch", ylabel="validation " + name + " (nats)" * (name == "loss"))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    return figure
