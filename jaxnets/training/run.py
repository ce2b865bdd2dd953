"""A run, and `advance`, which trains one chunk of it: the level below `fit`."""

import time
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.arrays import Examples
from jaxnets.errors import RunError
from jaxnets.sharding import replicate, use_mesh
from jaxnets.training.arguments import as_arrays
from jaxnets.training.chunk import CAPACITY
from jaxnets.training.compiled_loop import CompiledLoop
from jaxnets.training.divergence import (
    all_finite,
    first_nonfinite_step,
    last_finite,
    nonfinite_data,
)
from jaxnets.training.evaluate import values
from jaxnets.training.exceptions import NonFiniteLoss
from jaxnets.training.report import Progress
from jaxnets.training.runners import OneModel
from jaxnets.training.train_step import Batch, Hparams, Sums, resolve


@dataclass(frozen=True, eq=False)
class Run:
    """The state of a run between two chunks.

    Attributes:
      loop: the compiled loop, which does not change.
      train_state: the current train state; for a member that diverged, its last finite one.
      step: the number of steps taken.
      sums: the metrics' sums since the start of the period.
      objectives: the objective of each step of the last chunk, (members, steps).
      seconds: the time spent training.
      nonfinite: the number of steps with a NaN or infinite objective that did not stop the run.
      diverged: per member the step at which it diverged and stopped, or -1.
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
    def start(loop: CompiledLoop, train_state: Any, hparams: Hparams, step: int) -> "Run":
        """A run that starts at `step`; `train_state` will be donated."""
        n, sums = loop.runner.members, loop.zero_sums(train_state, hparams)
        return Run(loop, train_state, step, sums, np.zeros((n, 0)), 0.0, 0, (-1,) * n)

    @property
    def strategy(self) -> str | None:
        """The strategy of a population, "vmap" or "map"; None for a single model."""
        return getattr(self.loop.runner, "strategy", None)

    def with_loop(self, loop: CompiledLoop) -> "Run":
        """The same run, continued by another loop."""
        return replace(self, loop=loop)

    def program(self, hparams: Hparams = None) -> jax.stages.Compiled:
        """The compiled program of a chunk, to read its text, its cost and the memory it needs."""
        arrays, _ = self.loop.source.read(self.step, self.step)
        hparams = as_arrays("program", "hparams", hparams)
        state = (self.train_state, self.sums, hparams, arrays, self.step, self.step)
        with use_mesh(self.loop.mesh):
            arguments = replicate(self.loop.mesh, self.loop.arguments(*state))
            return self.loop.executable(arguments)

    def compile(self, hparams: Hparams) -> "Run":
        """The same run, with its program compiled and its memory allocated."""
        arrays, _ = self.loop.source.read(self.step, self.step)
        arguments = (self.train_state, self.sums, hparams, arrays, self.step, self.step)
        train_state, sums, _ = self.loop.run(*arguments)
        return replace(self, train_state=train_state, sums=sums)


def advance(run: Run, stop: int, hparams: Hparams = None) -> tuple[Run, Progress]:
    """Train one compiled chunk: up to step `stop`, or to the end of the period if that is earlier.

    The buffers of `run.train_state` are donated to the chunk: use those of the returned run, or
    copy them first. New values of `hparams` do not recompile.

    Args:
      run: the run to continue; see `start_run`.
      stop: the step to stop at; one chunk has at most 4,096 steps.
      hparams: a pytree of numbers, the hyperparameters that the train step is a function of.

    Returns:
      The run after the chunk, and a `Progress` with the metrics since the start of the period.

    Raises:
      RunError: `stop` is not past `run.step`.
      NonFiniteLoss: the objective or the train state of a single model became NaN or infinite, and
        `on_nonfinite` is "stop"; it holds the run at the last finite step.
    """
    if stop <= run.step:
        raise RunError(
            f"advance expects a stop past step {run.step}, but got {stop}; pass run.step + n to "
            "take n steps"
        )
    loop, start, hparams = run.loop, run.step, as_arrays("advance", "hparams", hparams)
    end = min(stop, start + CAPACITY, (start // loop.period + 1) * loop.period)
    arrays, end = loop.source.read(start, end)
    if start % loop.period == 0:
        run = replace(run, sums=loop.zeros(run.sums))
    rolls_back = loop.on_nonfinite == "stop"
    before = replace(run, train_state=copy(run.train_state)) if rolls_back else run
    start_time = time.perf_counter()
    arguments = (run.train_state, run.sums, hparams, arrays, start, end)
    train_state, sums, objectives = loop.run(*arguments)
    elapsed = time.perf_counter() - start_time
    run = replace(run, train_state=train_state, step=end, sums=sums, objectives=objectives)
    run = replace(run, seconds=run.seconds + elapsed)
    if rolls_back:
        run = _roll_back(before, run, hparams, arrays)
    else:
        run = replace(run, nonfinite=run.nonfinite + int((~np.isfinite(objectives)).sum()))
    examples = objectives.size * loop.source.reader.epochs.batch_size
    return run, _progress(run, stop, hparams, examples / elapsed)


def _roll_back(before: Run, after: Run, hparams: Hparams, arrays: Any) -> Run:
    """The run after a chunk, with members that diverged rolled back to their last finite state.

    Raises:
      NonFiniteLoss: the single model of the run diverged.
    """
    loop, start, diverged = before.loop, before.step, np.array(before.diverged)
    last, finite = (before.train_state, before.sums), loop.runner.finite(after.train_state)
    for i in np.flatnonzero(diverged < 0).tolist():
        step = first_nonfinite_step(after.objectives[i], start, after.step, finite[i])
        if step is None:
            continue
        member_loop, take = loop.for_member(i)

        def rerun(stop: int, member_loop: CompiledLoop = member_loop, take: Any = take) -> tuple:
            train_state, sums, member_hparams = take((before.train_state, before.sums, hparams))
            return member_loop.run(copy(train_state), sums, member_hparams, arrays, start, stop)

        *state_and_sums, diverged[i] = last_finite(rerun, step)
        last = loop.runner.select(np.arange(len(diverged)) == i, tuple(state_and_sums), last)
    if not (diverged >= 0).any():
        return after
    train_state, sums = loop.runner.select(diverged >= 0, last, (after.train_state, after.sums))
    run = replace(after, train_state=train_state, sums=sums, diverged=tuple(diverged.tolist()))
    if isinstance(loop.runner, OneModel):
        run = replace(run, step=run.diverged[0], diverged=(-1,))
        raise NonFiniteLoss(run, *_cause(run, hparams, arrays))
    return run


def _cause(run: Run, hparams: Hparams, arrays: Any) -> tuple[Any, str | None]:
    """The operation that produces the first non-finite number in the next step, and the data row.

    Either is None if it is not the cause.
    """
    from jaxnets.jaxpr.nonfinite import first_nonfinite

    train_step, hparams = resolve(run.loop.train_step, hparams)
    batch = run.loop.batch_of(arrays, run.step)
    culprit = first_nonfinite(train_step, run.train_state, batch, hparams)
    if all_finite(batch):
        return culprit, None
    resident = Examples(*arrays) if isinstance(arrays, Batch) else None
    return culprit, nonfinite_data("training", resident) or "its batch holds NaN or infinity"


def _progress(run: Run, stop: int, hparams: Hparams, samples_per_second: float) -> Progress:
    loop = run.loop
    epoch, index = divmod(run.step - 1, loop.steps_per_epoch)
    return Progress(
        step=run.step,
        steps=stop,
        epoch=epoch + 1,
        epochs=-(-stop // loop.steps_per_epoch),
        epoch_done=index + 1 == loop.steps_per_epoch,
        train=values(loop.train_step, run.sums, hparams, loop.runner, run.diverged),
        validation=None,
        seconds=run.seconds,
        samples_per_second=samples_per_second,
        nonfinite=run.nonfinite,
        steps_per_epoch=loop.steps_per_epoch,
    )


@jax.jit  # one program; copying leaf by leaf would compile one per shape
def copy(train_state: Any) -> Any:
    """A copy in new buffers, since those that a chunk starts from are donated."""
    return jax.tree.map(jnp.copy, train_state)
