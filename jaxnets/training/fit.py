"""The ordinary training loop: the host wakes between chunks, and only then."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxnets.devices import everywhere, home
from jaxnets.layer import Key
from jaxnets.training.arguments import numbers, one_split, single_key
from jaxnets.training.check import (
    check_devices,
    check_reporting,
    check_run,
    check_saving,
    check_update,
    splits,
)
from jaxnets.training.checkpoint import CheckpointError, Checkpoints
from jaxnets.training.chunk import Remainder
from jaxnets.training.course import copy
from jaxnets.training.interrupt import first_signal
from jaxnets.training.labels import check_labels
from jaxnets.training.monitors import Monitor
from jaxnets.training.pace import Pace
from jaxnets.training.program import OnNonFinite, Program
from jaxnets.training.report import Progress, Reporter, silent
from jaxnets.training.resume import Saver, identity
from jaxnets.training.stops import Interrupted, NonFiniteLoss, SavingFailed
from jaxnets.training.update import Hyper, TrainState, Update


class Fit(NamedTuple):
    """What a run leaves.

    Attributes:
      train_state: the last one or, with `patience`, that of the best epoch.
      history: the last report of each epoch, of an unfinished one too.
      best_epoch: with `patience`, the epoch of the smallest validation loss, from 1; else None.
      compile_seconds: time to initialise, trace and compile.
      train_seconds: time of the updates alone.
      samples_per_second: examples trained on a second, over the whole run.
    """

    train_state: TrainState
    history: tuple[Progress, ...]
    best_epoch: int | None
    compile_seconds: float
    train_seconds: float
    samples_per_second: float


@one_split
def fit(
    update: Update,
    train: tuple[Any, Any],
    *,
    key: Key,
    epochs: int,
    batch_size: int,
    start: TrainState | None = None,
    hyper: Hyper = None,
    validation: tuple[Any, Any] | None = None,
    patience: int | None = None,
    remainder: Remainder = "drop",
    on_nonfinite: OnNonFinite = "stop",
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    report: Reporter = silent,
    monitors: Sequence[Monitor] = (),
    chunk_seconds: float = 1.0,
    devices: int = 1,
) -> Fit:
    """Train, and evaluate after every epoch where there is a validation split.

    Args:
      update: one step; see `make_update`.
      train: inputs (n, ...) and labels (n, ...), as arrays or what converts to them; they stay on
        the device in their own dtype, 64-bit ones in 32 bits.
      key: decides initial weights, order, and all chance: same key, same run.
      epochs: passes over the data, those behind `start` included.
      batch_size: examples a step, at most n.
      start: a train state to go on from, by default `update.init(key, ...)`; it is copied, and
        `key` goes unused.
      hyper: a pytree of numbers, passed on to the model and the optimizer; new values do not
        recompile.
      validation: a split to evaluate on after every epoch.
      patience: stop after so many epochs without a smaller validation loss, and go back to the
        parameters of the best. A loss that is not finite is never the best.
      remainder: "drop" the last, smaller batch of an epoch, or "pad" and mask it.
      on_nonfinite: what an objective that is NaN or infinite does: "stop" the run, "skip" that
        update, or "ignore" it.
      checkpoints: where to save the run, at least every 5 s of training and when it ends.
      resume: go on, bit for bit, from the newest of the `checkpoints`, or start where there is
        none. Only `epochs`, `devices` and what merely reports may differ from the run that saved
        it.
      report: called with a `Progress` after every chunk.
      monitors: each is called with the train state and the chunk's objectives after every chunk;
        what it says is reported as warnings.
      chunk_seconds: how long the device works between two looks at signals and losses.
      devices: over how many of JAX's devices each batch is divided; parameters and data are on
        each. The run is that of one device, but for the rounding of sums.

    Returns:
      A `Fit`.

    Raises:
      RunError: data, labels or sizes that do not fit, found before anything is trained; or
        checkpoints of another run.
      CheckpointError: a checkpoint cannot be restored.
      NonFiniteLoss: the objective became NaN or infinite, and `on_nonfinite` is "stop"; the last
        good state is saved.
      Interrupted: Ctrl-C or SIGTERM, after the current chunk; it holds the `Fit` so far.
      SavingFailed: a checkpoint cannot be written; it holds the `Fit` so far.
    """
    check_update("fit", update, start)
    key, hyper = single_key("fit", key), numbers("fit", "hyper", hyper)
    train, validation = splits("fit", train, validation)
    sizes = check_run("fit", train, validation, epochs, batch_size, patience, remainder)
    epochs, batch_size, patience = sizes
    check_saving("fit", on_nonfinite, checkpoints, resume)
    check_reporting("fit", report, monitors, chunk_seconds)
    mesh = check_devices(devices, batch_size)
    data = everywhere(mesh, (jnp.asarray(train[0]), jnp.asarray(train[1])))
    program = Program(update, data, validation, hyper, batch_size, remainder, on_nonfinite, mesh)

    began = time.perf_counter()
    check_labels("fit", update, start or program.spec(key), hyper, data, validation, batch_size)
    train_state = copy(start) if start else program.start(key)
    course = program.compiled(train_state, patience)
    compile_seconds = time.perf_counter() - began

    options = {"batch_size": batch_size, "remainder": remainder, "patience": patience}
    about = {} if checkpoints is None else identity(train, validation, hyper, key=key, **options)
    saver = Saver(checkpoints, about, monitors)
    course = saver.restored(course) if resume else course
    pace = Pace(chunk_seconds, batch_size, seconds=course.seconds)
    first_step, first_second, total = course.step, course.seconds, program.steps * epochs
    signal = None

    def fitted() -> Fit:
        trained = (course.step - first_step) * batch_size
        last = course.best if course.best and course.best_epoch else course.train_state
        return Fit(
            train_state=home(mesh, last),
            history=course.history,
            best_epoch=course.best_epoch,
            compile_seconds=compile_seconds,
            train_seconds=course.seconds,
            samples_per_second=trained / max(course.seconds - first_second, 1e-9),
        )

    with first_signal() as signalled:
        try:
            while course.step < total and signal is None and not course.patience_is_over:
                stop = min(course.step + pace.length, program.end_of_epoch(course.step))
                objectives = program.advance(course, stop, pace)
                said = [s for monitor in monitors for s in monitor(course.train_state, objectives)]
                report(program.progress(course, epochs, pace, tuple(said)))
                signal = signalled()
                saver.save(course, now=signal is not None)
            saver.save(course, now=True)
            saver.wait()
        except NonFiniteLoss as error:
            saver.save_instead(course, error)
            raise
        except CheckpointError as error:
            raise SavingFailed(fitted(), error) from error
    if signal is not None:
        raise Interrupted(fitted(), signal)
    return fitted()
