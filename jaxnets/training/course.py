"""Where a run stands between two chunks."""

import math
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp

from jaxnets.training.report import Progress
from jaxnets.training.update import Sums, TrainState

Strategy = Literal["vmap", "map"]


@dataclass
class Course:
    """Everything that the next chunk of a run, and its final `Fit`, depend on.

    Attributes:
      train_state: what the last chunk left.
      step: its step, on the host.
      sums: the metrics' sums over the epoch so far.
      patience: epochs to wait for a smaller validation loss; None waits for ever.
      best: with `patience`, the train state of the best epoch, and the first until there is one.
      best_epoch: its number, from 1; None until there is one.
      best_loss: its validation loss; infinity until there is one, for only a finite loss can be.
      history: the last report of each epoch.
      seconds: spent training.
      nonfinite: steps whose objective was NaN or infinite.
      diverged: of a population, as in `PopulationFit`.
      strategy: of a population, as in `PopulationFit`; None until it is measured.
    """

    train_state: TrainState
    step: int
    sums: Sums
    patience: int | None = None
    best: TrainState | None = None
    best_epoch: int | None = None
    best_loss: float = math.inf
    history: tuple[Progress, ...] = ()
    seconds: float = 0.0
    nonfinite: int = 0
    diverged: list[int] | None = None
    strategy: Strategy | None = None

    def record(self, progress: Progress) -> None:
        """Enter a report: the epoch's last stays, and may be the best."""
        same = bool(self.history) and self.history[-1].epoch == progress.epoch
        self.history = (*self.history[: -1 if same else None], progress)
        if self.patience is None or progress.validation is None:
            return
        loss = progress.validation["loss"]
        if math.isfinite(loss) and loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, progress.epoch
            self.best = copy(self.train_state)

    @property
    def patience_is_over(self) -> bool:
        """Whether the best epoch, or the start where there is none, is `patience` epochs ago."""
        if self.patience is None or not self.history or not self.history[-1].epoch_done:
            return False
        since = self.best_epoch or self.history[0].epoch - 1
        return self.history[-1].epoch - since >= self.patience


@jax.jit  # one program, where leaf by leaf would be one a shape
def copy(train_state: TrainState) -> TrainState:
    """A copy with buffers of its own, since a chunk is given those it starts from."""
    return jax.tree.map(jnp.copy, train_state)
