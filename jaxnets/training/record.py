"""The history of a run and its best evaluation so far."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxnets.training.report import Progress
from jaxnets.training.run import Run, copy


@dataclass
class Record:
    """A run with its history and the state of early stopping.

    Attributes:
      run: the current run.
      patience: evaluations to wait for a smaller validation loss; None sets no limit.
      history: the last report of each period.
      best: with `patience`, the train state at the best evaluation of each member; the initial
        one before the first evaluation.
      best_epoch: the epoch of the best evaluation of each member, from 1; 0 before the first.
      best_loss: the validation loss at the best evaluation of each member.
      stale: the number of evaluations since the best one of each member.
    """

    run: Run
    patience: int | None = None
    history: tuple[Progress, ...] = ()
    best: Any = None
    best_epoch: list[int] = field(default_factory=list)
    best_loss: list[float] = field(default_factory=list)
    stale: list[int] = field(default_factory=list)

    @staticmethod
    def of(run: Run, patience: int | None) -> "Record":
        """The record of a run that has not reported yet."""
        n = run.loop.runner.members
        best = None if patience is None else copy(run.train_state)
        return Record(run, patience, (), best, [0] * n, [math.inf] * n, [0] * n)

    @property
    def finished(self) -> np.ndarray:
        """Whether a member has run out of patience, bool (members,)."""
        return np.array(self.stale) >= (math.inf if self.patience is None else self.patience)

    @property
    def done(self) -> bool:
        """Whether every member has run out of patience or diverged."""
        if self.patience is None:
            return False
        return bool((self.finished | (np.array(self.run.diverged) >= 0)).all())

    @property
    def train_state(self) -> Any:
        """The last train state, or that of the best evaluation for members that have one.

        For a member without a finite validation loss, the train state when its patience ran out.
        """
        if self.patience is None:
            return self.run.train_state
        use_best = (np.array(self.best_epoch) > 0) | self.finished
        return self.run.loop.runner.select(use_best, self.best, self.run.train_state)

    def add(self, progress: Progress) -> None:
        """Append a report, in place of an earlier one of the same period; update the best."""
        period = self.run.loop.period
        same_period = (
            bool(self.history)
            and (self.history[-1].step - 1) // period == (progress.step - 1) // period
        )
        self.history = (*self.history[: -1 if same_period else None], progress)
        if self.patience is not None and progress.validation is not None:
            self._compare(np.atleast_1d(progress.validation["loss"]), progress.epoch)

    def _compare(self, losses: np.ndarray, epoch: int) -> None:
        """Keep the train states of members whose loss is finite and their smallest so far.

        Also keep those of members that run out of patience without any finite loss.
        """
        waiting = ~self.finished
        better = waiting & np.isfinite(losses) & (losses < np.array(self.best_loss))
        for i in np.flatnonzero(waiting).tolist():
            self.stale[i] = 0 if better[i] else self.stale[i] + 1
        for i in np.flatnonzero(better).tolist():
            self.best_loss[i], self.best_epoch[i] = float(losses[i]), epoch
        keep = better | (waiting & self.finished & (np.array(self.best_epoch) == 0))
        if keep.any():
            self.best = self.run.loop.runner.select(keep, copy(self.run.train_state), self.best)
