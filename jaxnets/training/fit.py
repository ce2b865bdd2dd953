"""`fit`: train one model, with evaluation, reports and checkpoints."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from jaxnets.layer import Key
from jaxnets.sharding import unshard
from jaxnets.training.arguments import numbers, one_split, single_key
from jaxnets.training.check import (
    check_reporting,
    check_run,
    check_saving,
    check_train_step,
    check_watched,
    splits,
)
from jaxnets.training.checkpoint import Checkpoints
from jaxnets.training.compiled_loop import OnNonFinite
from jaxnets.training.loop import Plan, train, validate
from jaxnets.training.monitors import Monitor
from jaxnets.training.record import Record
from jaxnets.training.report import Progress, Reporter, silent
from jaxnets.training.resume import Saver, identity
from jaxnets.training.source import Remainder
from jaxnets.training.start import Every, first_run, one_model_loop
from jaxnets.training.train_step import Hparams


class FitResult(NamedTuple):
    """What a run leaves.

    Attributes:
      train_state: the last one or, with `patience`, that of the best evaluation.
      history: the last report of each period, of an unfinished one too; a period is an epoch
        unless `evaluate_every` says otherwise.
      best_epoch: with `patience`, the epoch of the smallest validation loss, from 1; else None.
      compile_seconds: time to initialize, trace and compile.
      train_seconds: time of the steps alone.
      samples_per_second: examples trained per second, over the whole run.
    """

    train_state: Any
    history: tuple[Progress, ...]
    best_epoch: int | None
    compile_seconds: float
    train_seconds: float
    samples_per_second: float


@one_split
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
    evaluate_every: Every = (1, "epochs"),
    patience: int | None = None,
    remainder: Remainder = "drop",
    on_nonfinite: OnNonFinite = "stop",
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    report: Reporter = silent,
    callbacks: Sequence[Monitor] = (),
    chunk_seconds: float = 1.0,
    devices: int = 1,
) -> FitResult:
    """Train, and evaluate after every epoch where there is a validation split.

    Args:
      train_step: one step, or a function of `hparams` that makes it; see `make_train_step`.
      data: inputs (n, ...), labels (n, ...) and, where examples count unequally, weights (n,), as
        arrays or what converts to them; they stay on the device in their own dtype, 64-bit ones in
        32 bits. Inputs and labels may be dicts or tuples of arrays. A `data.Stream` is read while
        it is trained on.
      key: decides initial weights, order, and all else that is random: same key, same run.
      epochs: passes over the data, those behind `start` included; or `steps`.
      steps: steps, those behind `start` included; or `epochs`.
      batch_size: examples per step, at most n.
      start: a train state to go on from, by default `train_step.init(key, ...)`; it is copied,
        and its `step`, if it has one, says how much of the run is behind it.
      hparams: a pytree of numbers, what the train step is a function of; new values do not
        recompile.
      validation: a split to evaluate on.
      evaluate_every: when to evaluate: `(2, "epochs")` or `(500, "steps")`, and after the last
        step.
      patience: stop after this many evaluations without a smaller validation loss, and go back to
        the parameters of the best. A loss that is not finite is never the best.
      remainder: "drop" the last, smaller batch of an epoch, or "pad" and mask it.
      on_nonfinite: what an objective or a train state that is NaN or infinite does: "stop" the
        run, "skip" that step, or "ignore" it.
      checkpoints: where and how often to save the run; it is also saved when it ends.
      resume: go on, bit for bit, from the newest of the `checkpoints`, or start where there is
        none. Only `epochs`, `steps`, `devices` and what merely reports may differ from the run
        that saved it.
      report: called with a `Progress` after every chunk.
      callbacks: each is called with the train state and the chunk's objectives after every chunk,
        and returns warnings to report.
      chunk_seconds: how long the device works between two checks for signals.
      devices: over how many of JAX's devices each batch is divided; parameters and data are on
        each. The run is that of one device, but for the rounding of sums.

    Returns:
      A `FitResult`.

    Raises:
      RunError: data, labels or sizes that do not fit, found before anything is trained; or
        checkpoints of another run.
      CheckpointError: a checkpoint cannot be restored.
      NonFiniteLoss: the objective became NaN or infinite, and `on_nonfinite` is "stop"; the last
        good state is saved.
      Interrupted: Ctrl-C or SIGTERM, after the current chunk; it holds the `FitResult` so far.
      SavingFailed: a checkpoint cannot be written; it holds the `FitResult` so far.
    """
    check_train_step("fit", train_step)
    key, hparams = single_key("fit", key), numbers("fit", "hparams", hparams)
    data, validation = splits("fit", data, validation)
    options = {"batch_size": batch_size, "remainder": remainder, "evaluate_every": evaluate_every}
    ends: dict[str, Any] = {"epochs": epochs, "steps": steps, "patience": patience}
    sizes = check_run("fit", data, validation, **options, **ends)
    options |= {"batch_size": sizes.batch_size}
    check_saving("fit", on_nonfinite, checkpoints, resume)
    check_reporting("fit", report, callbacks, chunk_seconds)

    began = time.perf_counter()
    loop = one_model_loop(
        *("fit", train_step, data, key, hparams),
        start=start,
        validation=validation,
        **options,
        on_nonfinite=on_nonfinite,
        devices=devices,
    )
    facts = {**options, "patience": sizes.patience}
    saver = Saver(checkpoints, identity(data, validation, hparams, key=key, **facts), callbacks)
    total = sizes.total(loop.steps_per_epoch)
    plan = Plan(total, hparams, data, validation, saver, report, callbacks, chunk_seconds)
    run = first_run(loop, key, hparams, start).compiled(hparams)
    check_watched(validate(run, plan, rows=1), patience, axes=0)
    record = Record.of(run, sizes.patience)
    compile_seconds = time.perf_counter() - began
    if resume:
        saver.restore(record)
    first = record.run

    def result() -> FitResult:
        run = record.run
        trained = (run.step - first.step) * sizes.batch_size
        return FitResult(
            train_state=unshard(loop.mesh, record.train_state),
            history=record.history,
            best_epoch=record.best_epoch[0] or None,
            compile_seconds=compile_seconds,
            train_seconds=run.seconds,
            samples_per_second=trained / max(run.seconds - first.seconds, 1e-9),
        )

    return train(record, plan, result)
