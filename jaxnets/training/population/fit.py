"""`fit_population`: train many models in one program."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxnets.layer import Key
from jaxnets.sharding import ShardingPlan, unshard
from jaxnets.training.arguments import as_arrays, count, data_as_pair, member_keys
from jaxnets.training.check import (
    Sizes,
    check_patience,
    check_reporting,
    check_run,
    check_saving,
)
from jaxnets.training.checkpoint import Checkpoints
from jaxnets.training.compiled_loop import OnNonFinite
from jaxnets.training.loop import Plan, compile_run, train
from jaxnets.training.monitors import Monitor
from jaxnets.training.peers import as_peer_lost, check_agreement
from jaxnets.training.population.start import population_loop
from jaxnets.training.population.strategy import fastest, with_strategy
from jaxnets.training.record import Record
from jaxnets.training.report import Progress, Reporter, silent
from jaxnets.training.resume import Saver, identity
from jaxnets.training.run import Run
from jaxnets.training.runners import Strategy
from jaxnets.training.source import Remainder
from jaxnets.training.splits import as_splits
from jaxnets.training.start import Interval, initial_run
from jaxnets.training.train_step import Hparams


class PopulationResult(NamedTuple):
    """The result of `fit_population`; each leaf of `train_states` has the leading axis N.

    Attributes:
      train_states: the members' last train states or, with `patience`, those of their best
        evaluations; the last finite one for a member that diverged.
      history: the last report of each period; its metrics are arrays (N,), with NaN for members
        that diverged.
      diverged: per member the step at which its objective or train state was first not finite, or
        -1; int (N,).
      best_epoch: with `patience`, per member the epoch of the smallest validation loss, from 1, or
        0 if it had no finite one; int (N,); else None.
      strategy: "vmap" or "map", as passed or as measured.
      compile_seconds: time to initialize or restore, trace, compile, and measure the strategy.
      train_seconds: time spent in the steps.
      samples_per_second: training examples per second, summed over the members.
    """

    train_states: Any
    history: tuple[Progress, ...]
    diverged: np.ndarray
    best_epoch: np.ndarray | None
    strategy: Strategy
    compile_seconds: float
    train_seconds: float
    samples_per_second: float


@data_as_pair
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
    evaluate_every: Interval = (1, "epochs"),
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
    sharding: ShardingPlan | None = None,
    stall_seconds: float | None = None,
) -> PopulationResult:
    """Train N models in one program, each with its own key and hyperparameters.

    Each member is trained as by `fit` with its key and hyperparameters, up to rounding.

    Args:
      train_step: a train step of one member, or a function of its `hparams` that returns one.
      data: inputs (n, ...) and labels (n, ...), shared by all members.
      keys: typed keys (N,), such as from `jax.random.split(key, N)`.
      epochs: as in `fit`.
      steps: as in `fit`.
      batch_size: examples per step and member.
      start: train states to continue from, each leaf with the leading axis N.
      hparams: a pytree of numbers as in `fit`, each with the leading axis N.
      validation: a split to evaluate every member on.
      evaluate_every: as in `fit`.
      patience: as in `fit`, per member; the run ends when all members have run out of patience.
      share_batches: shuffle once for all members, with the first key: much less memory traffic, but
        the spread over the members no longer includes the effect of shuffling.
      strategy: "vmap" trains all members at once, "map" one after another in the same program; by
        default both are timed for a few steps and the faster is used. They may round differently.
      remainder: as in `fit`.
      on_nonfinite: "stop" rolls a member that diverges back to its last finite state and stops it,
        without effect on the others. "skip" and "ignore" are as in `fit`.
      checkpoints: as in `fit`.
      resume: as in `fit`; `share_batches` and `strategy` must be the same, too.
      report: called after every chunk with a `Progress` of medians over the members that have not
        diverged.
      callbacks: as in `fit`; train states and objectives have the leading axis N.
      chunk_seconds: as in `fit`.
      devices: as in `fit`.
      sharding: as in `fit`; the axis "members" shards the members, so that each device trains its
        own members, and exchanges their metrics only.
      stall_seconds: as in `fit`.

    Raises:
      RunError: sizes do not fit, leading axes differ, or the population does not fit into the
        memory, which is checked before training; or the checkpoints are of another population.
      CheckpointError: a checkpoint cannot be restored.
      Interrupted: Ctrl-C or SIGTERM, after the current chunk; it holds the `PopulationResult`.
      SavingFailed: a checkpoint cannot be written; it holds the `PopulationResult` so far.
      PeerLost: another process of the run ended.
    """
    where = "fit_population"
    keys, hparams = member_keys(where, keys), as_arrays(where, "hparams", hparams)
    data, validation = as_splits(where, data, validation)
    batch_size = count(where, "batch_size", batch_size)
    options = {"batch_size": batch_size, "remainder": remainder, "evaluate_every": evaluate_every}
    running = {"on_nonfinite": on_nonfinite, "devices": devices, "sharding": sharding}
    sizes = check_run(where, data, validation, epochs, steps, patience, **options)
    check_saving(where, on_nonfinite, checkpoints, resume)
    check_reporting(where, report, callbacks, chunk_seconds, stall_seconds)

    start_time = time.perf_counter()
    arguments = (where, train_step, data, keys, hparams, start, strategy, share_batches)
    loop = population_loop(*arguments, **options, validation=validation, **running)
    options |= {"patience": sizes.patience, "share_batches": share_batches, "strategy": strategy}
    settings = identity(data, validation, hparams, key=keys, **options)
    saver = Saver(checkpoints, settings, callbacks, resume)
    total, report = sizes.total(loop.steps_per_epoch), _report_medians(report)
    plan = Plan(total, hparams, data, validation, saver, report, chunk_seconds, stall_seconds)
    with as_peer_lost(loop.mesh):
        check_agreement(where, loop.mesh, settings)
        return _train(initial_run(loop, keys, hparams, start), plan, sizes, strategy, start_time)


def _train(
    run: Run, plan: Plan, sizes: Sizes, strategy: Strategy | None, start_time: float
) -> PopulationResult:
    """Restore the record if the run is resumed, compile with its strategy, and train."""
    record = Record.of(run, sizes.patience)
    saved = plan.saver.restore(record) or {}
    chosen = strategy or saved.get("strategy") or fastest(record.run, plan.hparams)
    loop = with_strategy(record.run.loop, chosen)
    record.run = record.run.with_loop(loop)
    check_patience(compile_run(record, plan), sizes.patience, axes=1)
    first, compile_seconds = record.run, time.perf_counter() - start_time
    return train(record, plan, lambda: _result(record, first, sizes.batch_size, compile_seconds))


def _result(
    record: Record, first: Run, batch_size: int, compile_seconds: float
) -> PopulationResult:
    run = record.run
    examples = (run.step - first.step) * run.loop.runner.members * batch_size
    strategy: Any = run.strategy
    return PopulationResult(
        train_states=unshard(record.train_state),
        history=record.history,
        diverged=np.array(run.diverged),
        best_epoch=None if record.patience is None else np.array(record.best_epoch),
        strategy=strategy,
        compile_seconds=compile_seconds,
        train_seconds=run.seconds,
        samples_per_second=examples / max(run.seconds - first.seconds, 1e-9),
    )


def _report_medians(report: Reporter) -> Reporter:
    """A reporter of each metric's median over the members that have not diverged."""

    def medians(metrics: Any) -> Any:
        if metrics is None:
            return None
        finite = {name: v[~np.isnan(v)] for name, v in metrics.items() if v.ndim == 1}
        return {name: float(np.median(v)) if v.size else np.nan for name, v in finite.items()}

    def report_medians(progress: Progress) -> None:
        train, validation = medians(progress.train), medians(progress.validation)
        report(progress._replace(train=train, validation=validation))

    return report_medians
