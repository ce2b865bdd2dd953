"""`fit_population`: train many models in one program."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnets.layer import Key
from jaxnets.sharding import unshard
from jaxnets.training.arguments import member_keys, numbers, one_split
from jaxnets.training.check import (
    check_reporting,
    check_run,
    check_saving,
    check_strategy,
    check_train_step,
    check_watched,
    splits,
)
from jaxnets.training.checkpoint import Checkpoints
from jaxnets.training.compiled_loop import OnNonFinite
from jaxnets.training.loop import Plan, train, validate
from jaxnets.training.monitors import Monitor
from jaxnets.training.population.start import population_loop
from jaxnets.training.population.strategy import by_strategy, fastest
from jaxnets.training.record import Record
from jaxnets.training.report import Progress, Reporter, silent
from jaxnets.training.resume import Saver, identity
from jaxnets.training.runners import Strategy
from jaxnets.training.source import Remainder
from jaxnets.training.start import Every, first_run
from jaxnets.training.train_step import Hparams


class PopulationResult(NamedTuple):
    """What a population's run leaves; each leaf of `train_states` has the leading axis N.

    Attributes:
      train_states: the members' last ones or, with `patience`, those of their best evaluations; of
        a member that diverged the last that was finite.
      history: the last report of each period; its metrics are arrays (N,), NaN once diverged.
      diverged: the step at which each member's objective or train state was first not finite; -1
        where none was; int (N,).
      best_epoch: with `patience`, each member's epoch of the smallest validation loss, from 1, and
        0 where there is none; int (N,); else None.
      strategy: "vmap" or "map", chosen or measured.
      compile_seconds: time to initialize, trace, compile, and measure.
      train_seconds: time of the steps alone.
      samples_per_second: examples trained per second, over all members.
    """

    train_states: Any
    history: tuple[Progress, ...]
    diverged: np.ndarray
    best_epoch: np.ndarray | None
    strategy: Strategy
    compile_seconds: float
    train_seconds: float
    samples_per_second: float


@one_split
def fit_population(
    train_step: Any,
    data: Any,
    *,
    keys: Key,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int,
    start: Any = None,
    hparams: Hparams = None,
    validation: Any = None,
    evaluate_every: Every = (1, "epochs"),
    patience: int | None = None,
    share_batches: bool = False,
    strategy: Strategy | None = None,
    remainder: Remainder = "drop",
    on_nonfinite: OnNonFinite = "stop",
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    report: Reporter = silent,
    callbacks: Sequence[Monitor] = (),
    chunk_seconds: float = 1.0,
    devices: int = 1,
) -> PopulationResult:
    """Train N models in one program, each with its own key and hyperparameters.

    A member is what `fit` makes of its key and hyperparameters, up to rounding. The arguments are
    those of `fit`, but for:

    Args:
      train_step: one step of one member, or a function of its `hparams` that makes it.
      data: inputs (n, ...) and labels (n, ...), the same for all.
      keys: typed keys (N,), as of `jax.random.split(key, N)`.
      epochs: as `fit` takes it.
      steps: as `fit` takes it.
      batch_size: examples per step and member.
      start: train states to go on from, each leaf with the leading axis N.
      hparams: a pytree of numbers as `fit` takes it, each with the leading axis N.
      validation: a split to evaluate every member on.
      evaluate_every: as `fit` takes it.
      patience: as `fit` takes it, for each member; the run ends when no member has any left.
      share_batches: one order, drawn from the first key, for all: much less memory traffic, but
        then the seeds' spread leaves out what the order does.
      strategy: "vmap" trains all at once and "map" one after another in the same program;
        by default both are timed for a few steps and the faster is taken. They may round
        differently.
      remainder: as `fit` takes it.
      on_nonfinite: "stop" puts a member that diverges back to its last finite state, and leaves
        it there; it harms no other. "skip" and "ignore" are as `fit` takes them.
      checkpoints: as `fit` takes it.
      resume: as `fit` takes it.
      report: called after every chunk with a `Progress` of the median over members not diverged.
      callbacks: as `fit` takes them; train states and objectives have the leading axis N.
      chunk_seconds: as `fit` takes it.
      devices: as `fit` takes it.

    Raises:
      RunError: sizes that do not fit, leading axes that differ, or a population too large for
        the memory, found before it is trained; or checkpoints of another population.
      CheckpointError: a checkpoint cannot be restored.
      Interrupted: Ctrl-C or SIGTERM, after the current chunk; it holds the `PopulationResult`.
      SavingFailed: a checkpoint cannot be written; it holds the `PopulationResult` so far.
    """
    where = "fit_population"
    check_train_step(where, train_step)
    keys, hparams = member_keys(where, keys), numbers(where, "hparams", hparams)
    data, validation = splits(where, data, validation)
    options = {"batch_size": batch_size, "remainder": remainder, "evaluate_every": evaluate_every}
    ends: dict[str, Any] = {"epochs": epochs, "steps": steps, "patience": patience}
    sizes = check_run(where, data, validation, **options, **ends)
    options |= {"batch_size": sizes.batch_size}
    check_saving(where, on_nonfinite, checkpoints, resume)
    check_reporting(where, report, callbacks, chunk_seconds)
    check_strategy(where, strategy)

    began = time.perf_counter()
    loop = population_loop(
        *(where, train_step, data, keys, hparams, strategy or "vmap"),
        **options,
        start=start,
        validation=validation,
        share_batches=share_batches,
        on_nonfinite=on_nonfinite,
        devices=devices,
    )
    options |= {"patience": sizes.patience, "share_batches": share_batches, "strategy": strategy}
    facts = identity(data, validation, hparams, key=keys, **options)
    saver = Saver(checkpoints, facts, callbacks)
    record = Record.of(first_run(loop, keys, hparams, start), sizes.patience)
    saved = saver.restore(record) if resume else None
    chosen = strategy or (saved or {}).get("strategy") or fastest(record.run, hparams)
    record.run = record.run.by(by_strategy(loop, chosen)).compiled(hparams)
    settings = (saver, _median(report), callbacks, chunk_seconds)
    plan = Plan(sizes.total(loop.steps_per_epoch), hparams, data, validation, *settings)
    check_watched(validate(record.run, plan, rows=1), patience, axes=1)
    first, compile_seconds = record.run, time.perf_counter() - began

    def result() -> PopulationResult:
        run = record.run
        trained = (run.step - first.step) * loop.runner.members * sizes.batch_size
        return PopulationResult(
            train_states=unshard(loop.mesh, record.train_state),
            history=record.history,
            diverged=np.array(run.diverged),
            best_epoch=None if patience is None else np.array(record.best_epoch),
            strategy=chosen,
            compile_seconds=compile_seconds,
            train_seconds=run.seconds,
            samples_per_second=trained / max(run.seconds - first.seconds, 1e-9),
        )

    return train(record, plan, result)


def _median(report: Reporter) -> Reporter:
    """Report each metric's median over the members that have not diverged."""

    def medians(values: Any) -> Any:
        if values is None:
            return None
        known = {name: value[~np.isnan(value)] for name, value in values.items() if value.ndim == 1}
        return {name: float(np.median(v)) if v.size else np.nan for name, v in known.items()}

    def median(progress: Progress) -> None:
        train, validation = medians(progress.train), medians(progress.validation)
        report(progress._replace(train=train, validation=validation))

    return median
