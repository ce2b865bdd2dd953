"""A run, and `advance`: one chunk of it. The rung below `fit`."""

import time
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.arrays import Examples
from jaxnets.errors import RunError
from jaxnets.training.arguments import numbers
from jaxnets.training.chunk import CAPACITY
from jaxnets.training.compiled_loop import CompiledLoop
from jaxnets.training.evaluate import values
from jaxnets.training.exceptions import NonFiniteLoss
from jaxnets.training.nonfinite import all_finite, first_bad_step, last_good, nonfinite_data
from jaxnets.training.report import Progress
from jaxnets.training.runners import OneModel
from jaxnets.training.train_step import Batch, Hparams, Sums, resolve


@dataclass(frozen=True, eq=False)
class Run:
    """Where a run stands between two chunks.

    Attributes:
      loop: what stays the same.
      train_state: what has been learnt; of a member that diverged, the last that was finite.
      step: the number of steps taken.
      sums: the figures' sums since the period began.
      objectives: of each step of the last chunk, (members, steps).
      seconds: spent training.
      nonfinite: steps whose objective was NaN or infinite, and no reason to stop.
      diverged: for each member the step at which it was put back and stopped, or -1.
    """

    loop: CompiledLoop
    train_state: Any
    step: int
    sums: Sums
    objectives: np.ndarray
    seconds: float
    nonfinite: int
    diverged: tuple[int, ...]

    @staticmethod
    def at(loop: CompiledLoop, train_state: Any, hparams: Hparams, step: int) -> "Run":
        """A run from here; `train_state` will be donated."""
        n, sums = loop.runner.members, loop.zero_sums(train_state, hparams)
        return Run(loop, train_state, step, sums, np.zeros((n, 0)), 0.0, 0, (-1,) * n)

    @property
    def strategy(self) -> str | None:
        """Of a population, "vmap" or "map"."""
        return getattr(self.loop.runner, "strategy", None)

    def by(self, loop: CompiledLoop) -> "Run":
        """The same run, to go on by another loop."""
        return replace(self, loop=loop)

    def compiled(self, hparams: Hparams) -> "Run":
        """The same run, with its program compiled and its memory touched."""
        arrays, _ = self.loop.source.read(self.step, self.step)
        given = (self.train_state, self.sums, hparams, arrays, self.step, self.step)
        train_state, sums, _ = self.loop.run(*given)
        return replace(self, train_state=train_state, sums=sums)


def advance(run: Run, stop: int, hparams: Hparams = None) -> tuple[Run, Progress]:
    """Run one compiled chunk: to step `stop`, or to the end of the period if that comes first.

    The buffers of `run.train_state` are donated to the chunk: use those of the run that is
    returned, or copy them before. New values of `hparams` do not recompile.

    Args:
      run: where to start from; see `start_run`.
      stop: the step to stop before; one chunk has at most 4,096 steps.
      hparams: a pytree of numbers, what the train step is a function of.

    Returns:
      The run after the chunk, and its figures: those since the period began.

    Raises:
      RunError: `stop` is not past `run.step`.
      NonFiniteLoss: the objective or the train state of a single model became NaN or infinite, and
        `on_nonfinite` is "stop"; it holds the run at the last good step.
    """
    if stop <= run.step:
        raise RunError(f"advance expects a stop past step {run.step}, but got {stop}")
    loop, start, hparams = run.loop, run.step, numbers("advance", "hparams", hparams)
    end = min(stop, start + CAPACITY, (start // loop.period + 1) * loop.period)
    arrays, end = loop.source.read(start, end)
    if start % loop.period == 0:
        run = replace(run, sums=jax.tree.map(jnp.zeros_like, run.sums))
    stops = loop.on_nonfinite == "stop"
    before = replace(run, train_state=copy(run.train_state)) if stops else run
    began = time.perf_counter()
    given = (run.train_state, run.sums, hparams, arrays, start, end)
    train_state, sums, objectives = loop.run(*given)
    elapsed = time.perf_counter() - began
    run = replace(run, train_state=train_state, step=end, sums=sums, objectives=objectives)
    run = replace(run, seconds=run.seconds + elapsed)
    if stops:
        run = _put_back(before, run, hparams, arrays)
    else:
        run = replace(run, nonfinite=run.nonfinite + int((~np.isfinite(objectives)).sum()))
    examples = objectives.size * loop.source.reader.epochs.batch_size
    return run, _progress(run, stop, hparams, examples / elapsed)


def _put_back(before: Run, after: Run, hparams: Hparams, arrays: Any) -> Run:
    """The run after a chunk, with members that diverged in it back at their last finite state.

    Raises:
      NonFiniteLoss: the one model of the run diverged.
    """
    loop, start, diverged = before.loop, before.step, np.array(before.diverged)
    kept, finite = (before.train_state, before.sums), loop.runner.finite(after.train_state)
    for i in np.flatnonzero(diverged < 0).tolist():
        bad = first_bad_step(after.objectives[i], start, after.step, finite[i])
        if bad is None:
            continue
        alone, part = loop.only(i)

        def rerun(stop: int, alone: CompiledLoop = alone, part: Any = part) -> tuple:
            train_state, sums, own = part((before.train_state, before.sums, hparams))
            return alone.run(copy(train_state), sums, own, arrays, start, stop)

        *good, diverged[i] = last_good(rerun, bad)
        kept = loop.runner.select(np.arange(len(diverged)) == i, tuple(good), kept)
    if not (diverged >= 0).any():
        return after
    train_state, sums = loop.runner.select(diverged >= 0, kept, (after.train_state, after.sums))
    run = replace(after, train_state=train_state, sums=sums, diverged=tuple(diverged.tolist()))
    if isinstance(loop.runner, OneModel):
        run = replace(run, step=run.diverged[0], diverged=(-1,))
        raise NonFiniteLoss(run, *_cause(run, hparams, arrays))
    return run


def _cause(run: Run, hparams: Hparams, arrays: Any) -> tuple[Any, str | None]:
    """What makes the first non-finite number in the next step, and which data, if they do."""
    from jaxnets.jaxpr.nonfinite import first_nonfinite

    train_step, hparams = resolve(run.loop.train_step, hparams)
    batch = run.loop.batch_of(arrays, run.step)
    culprit = first_nonfinite(train_step, run.train_state, batch, hparams)
    if all_finite(batch):
        return culprit, None
    resident = Examples(*arrays) if isinstance(arrays, Batch) else None
    return culprit, nonfinite_data("training", resident) or "its batch holds NaN or infinity"


def _progress(run: Run, stop: int, hparams: Hparams, speed: float) -> Progress:
    loop = run.loop
    epoch, rest = divmod(run.step - 1, loop.steps_per_epoch)
    return Progress(
        step=run.step,
        steps=stop,
        epoch=epoch + 1,
        epochs=-(-stop // loop.steps_per_epoch),
        epoch_done=rest + 1 == loop.steps_per_epoch,
        train=values(loop.train_step, run.sums, hparams, loop.runner, run.diverged),
        validation=None,
        seconds=run.seconds,
        samples_per_second=speed,
        nonfinite=run.nonfinite,
    )


@jax.jit  # one program, where leaf by leaf would be one per shape
def copy(train_state: Any) -> Any:
    """A copy with buffers of its own, since a chunk is given those it starts from."""
    return jax.tree.map(jnp.copy, train_state)
