"""The options of the experiments: a dataclass, whose fields `command_line.main` parses."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import optax
import tyro

from jaxnets.training.runners import Strategy
from jaxnets.training.train_step import Hparams

# Each with its default peak learning rate.
OPTIMIZERS: dict[str, tuple[Callable[..., optax.GradientTransformation], float]] = {
    "sgd": (optax.sgd, 0.3),
    "momentum": (lambda rate: optax.sgd(rate, momentum=0.9), 0.05),
    "nesterov": (lambda rate: optax.sgd(rate, momentum=0.9, nesterov=True), 0.05),
    "adagrad": (optax.adagrad, 0.02),
    "adadelta": (optax.adadelta, 1.0),
    "rmsprop": (optax.rmsprop, 0.001),
    "adam": (optax.adam, 0.002),
    "adamw": (lambda rate: optax.adamw(rate, weight_decay=1e-2), 0.002),
}
Optimizer = Literal[tuple(OPTIMIZERS)]  # type: ignore[valid-type]
Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


@dataclass(frozen=True)
class Config:
    """The options that most experiments share."""

    save_seconds: ClassVar[float] = 5.0
    """Seconds of training between two saves."""
    chunk_seconds: ClassVar[float] = 1.0
    """Seconds of device time between two reports."""

    data_dir: Path | None = None
    """A folder with the data set's files, instead of those that are found or downloaded."""
    out: Path | None = None
    """The folder to write to; by default a new one, runs/NAME-TIME."""
    resume: ClassVar[bool] = False
    """Whether to continue the run in `out`, for experiments that support it."""
    strategy: ClassVar[Strategy | None] = None
    """How a population trains, for experiments that support a choice."""

    @property
    def hparams(self) -> dict[str, float]:
        """The hyperparameters of the train step; new values do not recompile."""
        return {}


@dataclass(frozen=True)
class TrainingConfig(Config):
    """The options of an experiment that trains, and that can be resumed."""

    epochs: int = 10
    """Passes over the training data."""
    batch_size: int = 128
    """Examples per step."""
    validation: int = 5000
    """Training examples held out for validation; never trained on."""
    seed: int = 0
    """The seed of the weights, the order, the held-out examples and all other random numbers."""
    resume: Flag = False
    """Continue the run in --out, bit for bit; only --epochs may differ, and where it runs."""


@dataclass(frozen=True)
class RecipeConfig(TrainingConfig):
    """The options of a recipe: one network, or one per seed, with a one-cycle schedule."""

    optimizer: Optimizer = "adamw"
    """The optimizer, by its name."""
    learning_rate: float | None = None
    """The peak of a one-cycle cosine schedule; the default depends on the optimizer."""
    seeds: int = 1
    """Number of networks to train, with consecutive seeds from --seed."""
    strategy: Strategy | None = None
    """How several networks train: vmap, all at once; map, one by one; None, the faster."""
    distributed: Flag = False
    """Train with several processes, started by SLURM, Open MPI, Kubernetes, Cloud TPU or
    `experiments.launch`, with --out in a folder that all can read and write."""
    stall_seconds: float | None = None
    """With --distributed: exit with status 77 after this many seconds without a finished chunk."""

    @property
    def hparams(self) -> dict[str, float]:
        """The hyperparameters that `make_optimizer` reads."""
        rate = OPTIMIZERS[self.optimizer][1] if self.learning_rate is None else self.learning_rate
        return {"learning_rate": rate}

    def make_optimizer(self, hparams: Hparams, examples: int) -> optax.GradientTransformation:
        """The optimizer, with a one-cycle cosine schedule over the run."""
        steps = max(1, self.epochs * (examples // max(1, self.batch_size)))  # `fit` checks both
        cycle = optax.cosine_onecycle_schedule(steps, peak_value=1.0)
        constructor, _ = OPTIMIZERS[self.optimizer]
        return constructor(lambda count: hparams["learning_rate"] * cycle(count))
