"""Shared by the studies, which answer questions about training with populations on MNIST."""

from dataclasses import dataclass
from typing import Any

import optax
from matplotlib.figure import Figure

from experiments.configs import TrainingConfig
from experiments.folder import machine
from experiments.runner import Run
from jaxnets import Layer, data, losses, metrics, models, scale_pixels, serial
from jaxnets.data import Split
from jaxnets.training import RunError, TrainStep, make_train_step
from jaxnets.training.runners import Strategy


@dataclass(frozen=True)
class Config(TrainingConfig):
    """The options that every study has."""

    examples: int = 10_000
    """Number of training examples: the first ones that are not held out."""
    strategy: Strategy | None = None
    """How the networks train: vmap, all at once; map, one by one; None, the faster."""
    seed: int = 0
    """The seed of the first network and of the held-out examples."""


def start(name: str, config: Config) -> tuple[Run, Split, Split]:
    """The study's run, whose data set is MNIST; the training examples, and the held-out ones."""
    mnist = data.load("mnist", data_dir=config.data_dir)
    train, validation = data.train_test_split(mnist.train, config.validation, seed=config.seed)
    if not 1 <= config.examples <= len(train.x):
        raise RunError(
            f"--examples expects a number from 1 to {len(train.x)}, since {config.validation} are "
            f"held out, but got {config.examples}"
        )
    train = Split(*(part[: config.examples] for part in train))
    return Run(name, config, mnist), train, validation


def classifier(*sizes: int, **options: Any) -> Layer:
    """A multi-layer perceptron on images: `models.mlp` on pixels scaled to [0, 1]."""
    return serial(scale_pixels(), ("mlp", models.mlp(sizes, **options)))


def train_step(model: Layer, optimizer: optax.GradientTransformation) -> TrainStep:
    """A train step on the cross-entropy that also reports the accuracy."""
    return make_train_step(
        model, optimizer, losses.softmax_cross_entropy, metrics={"accuracy": metrics.accuracy}
    )


def write(run: Run, result: dict[str, Any], figure: Figure) -> dict[str, Any]:
    """Write result.json and the figure, result.png; return the result as it is in the file."""
    names = ("epochs", "examples", "validation", "batch_size", "seed")
    options = {name: getattr(run.config, name) for name in names}
    return run.write({**options, **result, **machine()}, {"result": figure})
