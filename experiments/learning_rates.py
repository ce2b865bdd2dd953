"""Too low, right, too high, decayed: 64 learning rates in one program, each with and without decay.

python -m experiments.learning_rates

Plain gradient descent on MNIST from one and the same start, with the same batches: all that
differs is the rate. It stays as it is in half of the networks and falls to 0 along half a cosine
wave in the others. Takes about a minute on two CPU cores. After 20 epochs of 10,000 digits the
training loss is 0.79 nats at a rate of 0.003 and 0.016 at 0.33, the best of those that stay; from
1.2 on it is ln 10, that of a guess, and from 14 on some networks diverge. Close to the best rate
the loss of a constant one goes up and down, and that of a decayed one falls smoothly.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments import common, study
from experiments.population import COLOURS, seed_keys
from jaxnets.data import Split
from jaxnets.training import RunError, TrainStep
from jaxnets.training.train_step import Hparams


@dataclass(frozen=True)
class Config(study.Config):
    """Learning rates from too low to too high, with and without decay."""

    rates: int = 64
    """Learning rates, evenly spread on a logarithmic axis."""
    lowest: float = 1e-4
    """The first of them."""
    highest: float = 100.0
    """The last of them."""
    hidden: tuple[int, ...] = (32, 32, 32)
    """Units of each hidden layer."""
    epochs: int = 20


class Sweep(NamedTuple):
    """What came of each rate.

    Attributes:
      rates: (rates,).
      losses: in training, by epoch; (2, rates, epochs): constant rates, then decayed ones. It is
        NaN once a network has diverged.
      validation: the loss on held-out examples in the end, (2, rates), likewise.
      diverged: the step at which the loss stopped being finite, or -1; (2, rates).
    """

    rates: np.ndarray
    losses: np.ndarray
    validation: np.ndarray
    diverged: np.ndarray


def descent(hparams: Hparams, steps: int) -> optax.GradientTransformation:
    """Gradient descent at a rate that stays or, where `decays` is 1 and not 0, falls to 0."""

    def rate(count: Any) -> Any:
        fallen = (1 - jnp.cos(jnp.pi * count / steps)) / 2
        return hparams["learning_rate"] * (1 - hparams["decays"] * fallen)

    return optax.sgd(rate)


def check(config: Config) -> None:
    """Refuse rates that are no sweep."""
    if config.rates < 2 or not 0 < config.lowest < config.highest:
        raise RunError(
            "a sweep expects at least 2 rates, and 0 < --lowest < --highest, but got "
            f"{config.rates} from {config.lowest} to {config.highest}"
        )


def sweep(config: Config, train: Split, validation: Split) -> Sweep:
    """Train with every rate, constant and decayed, as one population."""
    rates = np.geomspace(config.lowest, config.highest, config.rates)
    steps = config.epochs * (len(train.x) // max(1, config.batch_size))
    model = study.classifier(*config.hidden, 10)

    def train_step(hparams: Hparams) -> TrainStep:
        return study.train_step(model, descent(hparams, max(1, steps)))

    fitted = study.trained(
        config,
        "training",
        train_step,
        train,
        keys=seed_keys(config.seed, 1, times=2 * config.rates),
        hparams={
            "learning_rate": jnp.asarray(np.tile(rates, 2), jnp.float32),
            "decays": jnp.repeat(jnp.array([0.0, 1.0]), config.rates),
        },
        validation=validation,
        share_batches=True,
    )
    losses = np.transpose([progress.train["loss"] for progress in fitted.history])
    return Sweep(
        rates=rates,
        losses=losses.reshape(2, config.rates, -1),
        validation=fitted.history[-1].validation["loss"].reshape(2, -1),
        diverged=fitted.diverged.reshape(2, -1),
    )


def told(found: Sweep) -> dict[str, tuple[int, int]]:
    """Four networks that tell the story, each by whether its rate decays and the rate's number.

    Right is the constant rate with the smallest training loss in the end, too low a hundredth of
    it, and too high the rate above it whose training loss rises most while it is still a number.
    """
    right, decayed = (int(np.nanargmin(losses[:, -1])) for losses in found.losses)
    low = int(np.abs(np.log(found.rates / found.rates[right] * 100)).argmin())
    rises = np.nan_to_num(found.losses[0, :, 1:], nan=0.0).max(1, initial=0) - found.losses[0, :, 0]
    high = right + int(np.nanargmax(rises[right:]))
    return {
        "too low": (0, low),
        "right": (0, right),
        "too high": (0, high),
        "decayed": (1, decayed),
    }


def draw(found: Sweep, story: dict[str, tuple[int, int]]) -> Figure:
    """The training loss by epoch of four rates, and in the end by rate."""
    figure = Figure(figsize=(13, 5.2), layout="constrained")
    count = found.diverged.size
    figure.suptitle(f"The learning rate: {count} networks trained in one program", fontsize=17)
    left, right = figure.subplots(1, 2, sharey=True)
    epochs = range(1, found.losses.shape[-1] + 1)
    for (name, (decays, i)), colour in zip(story.items(), COLOURS, strict=False):
        label = f"{name}: {found.rates[i]:.2g}"
        left.plot(epochs, found.losses[decays, i], ".-", color=colour, lw=2.5, label=label)
    left.set(yscale="log", xlabel="epoch", ylabel="training loss (nats)")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set_title("epoch by epoch")
    left.legend(title="learning rate")
    by_rate(right, found)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure


def by_rate(axes: Axes, found: Sweep) -> None:
    """The training loss in the last epoch against the rate; those that diverged, at the top."""
    lines = zip(
        found.losses[..., -1],
        found.diverged >= 0,
        ("constant", "decayed to 0"),
        (COLOURS[1], COLOURS[3]),
        (0.97, 0.92),
        strict=True,
    )
    for values, lost, name, colour, height in lines:
        axes.plot(found.rates, values, ".-", color=colour, lw=2, label=name)
        if lost.any():
            heights, where = np.full(lost.sum(), height), axes.get_xaxis_transform()
            label = f"{name}, diverged"
            axes.plot(found.rates[lost], heights, "x", color=colour, transform=where, label=label)
    axes.axhline(np.log(10), color="gray", ls=":", label="a tenth for every digit")
    axes.set(xscale="log", xlabel="learning rate")
    axes.set_title("in the last epoch")
    axes.legend(loc="lower left")


def experiment(config: Config) -> dict[str, Any]:
    """Train with all rates, and draw what came of them."""
    check(config)
    config, _, train, validation = study.started("learning_rates", config)
    found = sweep(config, train, validation)
    story = told(found)
    for name, (decays, i) in story.items():
        print(
            f"{name}: {found.rates[i]:.3g}, training loss {found.losses[decays, i, -1]:.4f}, "
            f"validation loss {found.validation[decays, i]:.4f}"
        )
    result = {
        "network": "-".join(map(str, (784, *config.hidden, 10))),
        "story": {
            name: {"learning_rate": found.rates[i], "training_loss": found.losses[decays, i]}
            for name, (decays, i) in story.items()
        },
        "learning_rate": found.rates,
        "validation_loss": dict(zip(("constant", "decayed"), found.validation, strict=True)),
        "diverged_at_step": dict(zip(("constant", "decayed"), found.diverged, strict=True)),
    }
    return study.finish(config, result, draw(found, story))


if __name__ == "__main__":
    common.main(experiment, Config)
