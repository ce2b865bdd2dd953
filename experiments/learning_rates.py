"""Learning rates from too low to too high, with and without decay: 128 networks in one program.

python -m experiments.learning_rates

All networks train on MNIST by plain gradient descent, with the same initial weights and batches;
only the learning rate differs. It is constant for half of the networks, and follows a cosine decay
to 0 for the others. Takes about a minute on two CPU cores. After 20 epochs of 10,000 digits the
training loss is 0.79 nats at a rate of 0.003 and 0.016 at 0.33, the best of the constant ones; from
1.2 to 9 it is about ln 10, as for random guessing; from 14 on it grows or is not finite. Near the
best rate the loss oscillates with a constant rate, and falls smoothly with a decaying one.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments import command_line, study
from experiments.figures import COLOURS
from experiments.runner import Run, seed_keys
from jaxnets.data import Split
from jaxnets.training import RunError, TrainStep
from jaxnets.training.train_step import Hparams


@dataclass(frozen=True)
class Config(study.Config):
    """Learning rates from too low to too high, with and without decay."""

    rates: int = 64
    """The number of learning rates, which are equally spaced on a logarithmic axis."""
    lowest: float = 1e-4
    """The lowest learning rate."""
    highest: float = 100.0
    """The highest learning rate."""
    hidden: tuple[int, ...] = (32, 32, 32)
    """Units of each hidden layer."""
    epochs: int = 20


class Sweep(NamedTuple):
    """The results of each rate.

    Attributes:
      rates: (rates,).
      losses: the training loss by epoch, (2, rates, epochs), for constant rates and with decay; NaN
        once a network has diverged.
      validation: the validation loss at the end, (2, rates).
      diverged: the step at which the loss stopped being finite, or -1; (2, rates).
    """

    rates: np.ndarray
    losses: np.ndarray
    validation: np.ndarray
    diverged: np.ndarray


def descent(hparams: Hparams, steps: int) -> optax.GradientTransformation:
    """Gradient descent whose rate is constant if `decays` is 0, or decays to 0 if it is 1."""

    def rate(count: Any) -> Any:
        decay = (1 - jnp.cos(jnp.pi * count / steps)) / 2
        return hparams["learning_rate"] * (1 - hparams["decays"] * decay)

    return optax.sgd(rate)


def check(config: Config) -> None:
    """Refuse options that do not form a sweep of rates."""
    if config.rates < 2 or not 0 < config.lowest < config.highest:
        raise RunError(
            "a sweep expects at least 2 rates, and 0 < --lowest < --highest, but got "
            f"{config.rates} from {config.lowest} to {config.highest}"
        )


def train_sweep(run: Run, train: Split, validation: Split) -> Sweep:
    """Train with every rate, constant and decaying, as one population."""
    config: Any = run.config
    rates = np.geomspace(config.lowest, config.highest, config.rates)
    steps = config.epochs * (len(train.x) // max(1, config.batch_size))
    model = study.classifier(*config.hidden, 10)

    def train_step(hparams: Hparams) -> TrainStep:
        return study.train_step(model, descent(hparams, max(1, steps)))

    fitted = run.fit_population(
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


def pick_examples(sweep: Sweep) -> dict[str, tuple[int, int]]:
    """Four networks to draw, each as (whether its rate decays, the index of the rate).

    "right" is the constant rate with the smallest final training loss, "too low" a hundredth of it,
    and "too high" the larger rate whose training loss rises most but stays finite.
    """
    right, decayed = (int(np.nanargmin(losses[:, -1])) for losses in sweep.losses)
    low = int(np.abs(np.log(sweep.rates / sweep.rates[right] * 100)).argmin())
    rises = np.nan_to_num(sweep.losses[0, :, 1:], nan=0.0).max(1, initial=0) - sweep.losses[0, :, 0]
    high = right + int(np.nanargmax(rises[right:]))
    return {
        "too low": (0, low),
        "right": (0, right),
        "too high": (0, high),
        "decayed": (1, decayed),
    }


def draw(sweep: Sweep, examples: dict[str, tuple[int, int]]) -> Figure:
    """The training loss by epoch for four rates, and at the end by rate."""
    figure = Figure(figsize=(13, 5.2), layout="constrained")
    count = sweep.diverged.size
    figure.suptitle(f"The learning rate: {count} networks trained in one program")
    left, right = figure.subplots(1, 2)  # no sharey: losses at large rates would flatten the left
    epochs = range(1, sweep.losses.shape[-1] + 1)
    for (name, (decays, i)), colour in zip(examples.items(), COLOURS, strict=False):
        label = f"{name}: {sweep.rates[i]:.2g}"
        left.plot(epochs, sweep.losses[decays, i], ".-", color=colour, lw=2.5, label=label)
    left.set(yscale="log", xlabel="epoch", ylabel="training loss (nats)")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.set_title("epoch by epoch")
    left.legend(title="learning rate")
    by_rate(right, sweep)
    for axes in (left, right):
        axes.grid(alpha=0.3)
    return figure


def by_rate(axes: Axes, sweep: Sweep) -> None:
    """The training loss in the last epoch against the rate; diverged networks at the top."""
    lines = zip(
        sweep.losses[..., -1],
        sweep.diverged >= 0,
        ("constant", "decayed to 0"),
        (COLOURS[1], COLOURS[3]),
        (0.97, 0.92),
        strict=True,
    )
    for values, lost, name, colour, height in lines:
        axes.plot(sweep.rates, values, ".-", color=colour, lw=2, label=name)
        if lost.any():
            heights, where = np.full(lost.sum(), height), axes.get_xaxis_transform()
            label = f"{name}, diverged"
            axes.plot(sweep.rates[lost], heights, "x", color=colour, transform=where, label=label)
    axes.axhline(np.log(10), color="gray", ls=":", label="random guessing")
    axes.set(xscale="log", yscale="log", xlabel="learning rate", ylabel="training loss (nats)")
    axes.set_title("in the last epoch")
    axes.legend(loc="upper left")


def experiment(config: Config) -> dict[str, Any]:
    """Train with all rates, and draw their losses."""
    check(config)
    run, train, validation = study.start("learning_rates", config)
    sweep = train_sweep(run, train, validation)
    examples = pick_examples(sweep)
    for name, (decays, i) in examples.items():
        print(
            f"{name}: {sweep.rates[i]:.3g}, training loss {sweep.losses[decays, i, -1]:.4f}, "
            f"validation loss {sweep.validation[decays, i]:.4f}"
        )
    result = {
        "network": "-".join(map(str, (784, *config.hidden, 10))),
        "story": {
            name: {"learning_rate": sweep.rates[i], "training_loss": sweep.losses[decays, i]}
            for name, (decays, i) in examples.items()
        },
        "learning_rate": sweep.rates,
        "validation_loss": dict(zip(("constant", "decayed"), sweep.validation, strict=True)),
        "diverged_at_step": dict(zip(("constant", "decayed"), sweep.diverged, strict=True)),
    }
    return study.write(run, result, draw(sweep, examples))


if __name__ == "__main__":
    command_line.main(experiment, Config)
