"""`fit`: train one model with evaluation, reports and checkpoints."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxnets.layer import Key
from jaxnets.sharding import ShardingPlan, unshard
from jaxnets.training.arguments import as_arrays, count, data_as_pair, single_key
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
from jaxnets.training.record import Record
from jaxnets.training.report import Progress, Reporter, silent
from jaxnets.training.resume import Saver, identity
from jaxnets.training.run import Run
from jaxnets.training.source import Remainder
from jaxnets.training.splits import as_splits
from jaxnets.training.start import Interval, initial_run, one_model_loop
from jaxnets.training.train_step import Hparams


class FitResult(NamedTuple):
    """The result of `fit`.

    Attributes:
      train_state: the last one or, with `patience`, that of the best evaluation.
      history: the last report of each period, including an unfinished one; a period is an epoch
        unless `evaluate_every` says otherwise.
      best_epoch: with `patience`, the epoch of the smallest validation loss, from 1; else None.
      compile_seconds: time to initialize or restore, trace and compile.
      train_seconds: time spent in the steps.
      samples_per_second: training examples per second, since the start or the resume.
    """

    train_state: Any
    history: tuple[Progress, ...]
    best_epoch: int | None
    compile_seconds: float
    train_seconds: float
    samples_per_second: float


@data_as_pair
def fit(
    train_step: Any,
    data: Any,
    *,
    key: Key,
    epochs: int | None = None,
    steps: int | None = None,
    batch_size: int,
    start: Any = None,
    hparams: Hparams = None,
    validation: Any = None,
    evaluate_every: Interval = (1, "epochs"),
    patience: int | None = None,
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
) -> FitResult:
    """Train a model, and evaluate it after every epoch if there is a validation split.

    Args:
      train_step: a train step, or a function of `hparams` that returns one; see `make_train_step`.
      data: inputs (n, ...), labels (n, ...) and optionally weights (n,) of the examples, as arrays
        or anything that converts to them. They are kept on the device in their own dtype, 64-bit
        ones in 32 bits. Inputs and labels may be dicts or tuples of arrays. For data that does not
        fit into memory, pass a `data.Stream`.
      key: a random key for the initial weights, the shuffling and all other randomness: the same
        key gives the same run.
      epochs: passes over the data, including those of `start`; or pass `steps`.
      steps: training steps, including those of `start`; or pass `epochs`.
      batch_size: examples per step, at most n.
      start: a train state to continue from, by default `train_step.init(key, ...)`. It is copied;
        its `step`, if it has one, counts towards `epochs` and `steps`.
      hparams: a pytree of numbers, the hyperparameters that the train step is a function of; new
        values do not recompile.
      validation: a split to evaluate on.
      evaluate_every: when to evaluate: `(2, "epochs")` or `(500, "steps")`, and after the last
        step.
      patience: early stopping: stop after this many evaluations without a smaller validation loss,
        and return the parameters of the best one. A loss that is not finite is never the best.
      remainder: "drop" the last, smaller batch of an epoch, or "pad" and mask it.
      on_nonfinite: if the objective or the train state is NaN or infinite, "stop" the run, "skip"
        the step, or "ignore" it.
      checkpoints: where and how often to save the run; it is also saved at the end.
      resume: resume, bit for bit, from the newest of the `checkpoints`, or start a new run if there
        is none. The data, `key`, `hparams`, `validation`, `batch_size`, `evaluate_every`,
        `patience` and `remainder` must be those of the saved run.
      report: called with a `Progress` after every chunk.
      callbacks: each is called with the train state and the chunk's objectives after every chunk,
        and returns warnings to report.
      chunk_seconds: how long the device works before control returns to Python, for reports,
        checkpoints and signals.
      devices: the number of JAX devices over which each batch is sharded; parameters and data are
        replicated. Short for `sharding=ShardingPlan({"batch": devices})`.
      sharding: how the run is spread over several devices; the result is that of one device, up to
        the rounding of sums. With `jax.distributed`, all processes make the same call, each reads
        only its own rows of every batch, and the first one reports and saves. What is sharded stays
        so in the result. See `sharding_report` for what each device holds.
      stall_seconds: if no chunk ends for this many seconds, as when another process is stuck, print
        the stacks of all threads and end this process with status 77; by default, wait forever.
        Pass several times what a chunk, an evaluation and a save take together.

    Returns:
      A `FitResult`.

    Raises:
      RunError: data, labels or sizes do not fit, which is checked before training; the checkpoints
        are of another run; or the processes were started with different data or settings.
      CheckpointError: a checkpoint cannot be restored.
      NonFiniteLoss: the objective or the train state became NaN or infinite, and `on_nonfinite` is
        "stop"; the last finite state is saved.
      Interrupted: Ctrl-C or SIGTERM, after the current chunk; it holds the `FitResult` so far.
      SavingFailed: a checkpoint cannot be written; it holds the `FitResult` so far.
      PeerLost: another process of the run ended.
    """
    key, hparams = single_key("fit", key), as_arrays("fit", "hparams", hparams)
    data, validation = as_splits("fit", data, validation)
    batch_size = count("fit", "batch_size", batch_size)
    options = {"batch_size": batch_size, "remainder": remainder, "evaluate_every": evaluate_every}
    sizes = check_run("fit", data, validation, epochs, steps, patience, **options)
    check_saving("fit", on_nonfinite, checkpoints, resume)
    check_reporting("fit", report, callbacks, chunk_seconds, stall_seconds)

    start_time = time.perf_counter()
    loop = one_model_loop(
        *("fit", train_step, data, key, hparams, start),
        validation=validation,
        **options,
        on_nonfinite=on_nonfinite,
        devices=devices,
        sharding=sharding,
    )
    options |= {"patience": sizes.patience}
    settings = identity(data, validation, hparams, key=key, **options)
    saver = Saver(checkpoints, settings, callbacks, resume)
    total = sizes.total(loop.steps_per_epoch)
    plan = Plan(total, hparams, data, validation, saver, report, chunk_seconds, stall_seconds)
    with as_peer_lost(loop.mesh):
        check_agreement("fit", loop.mesh, settings)
        return _train(initial_run(loop, key, hparams, start), plan, sizes, start_time)


def _train(run: Run, plan: Plan, sizes: Sizes, start_time: float) -> FitResult:
    """Restore the record if the run is resumed, compile, and train."""
    record = Record.of(run, sizes.patience)
    plan.saver.restore(record)
    check_patience(compile_run(record, plan), sizes.patience, axes=0)
    first, compile_seconds = record.run, time.perf_counter() - start_time
    return train(record, plan, lambda: _result(record, first, sizes.batch_size, compile_seconds))


def _result(record: Record, first: Run, batch_size: int, compile_seconds: float) -> FitResult:
    run = record.run
    examples = (run.step - first.step) * batch_size
    return FitResult(
        train_state=unshard(record.train_state),
        history=record.history,
        best_epoch=record.best_epoch[0] or None,
        compile_seconds=compile_seconds,
        train_seconds=run.seconds,
        samples_per_second=examples / max(run.seconds - first.seconds, 1e-9),
    )
