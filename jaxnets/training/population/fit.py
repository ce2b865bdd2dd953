"""The training loop of a population: that of `fit`, for all members at once."""

import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.layer import Key
from jaxnets.training.arguments import member_keys, numbers, one_split
from jaxnets.training.check import (
    check_reporting,
    check_run,
    check_saving,
    check_strategy,
    check_update,
    splits,
)
from jaxnets.training.checkpoint import CheckpointError, Checkpoints
from jaxnets.training.chunk import Remainder, steps_per_epoch
from jaxnets.training.course import Course, Strategy, copy
from jaxnets.training.interrupt import first_signal
from jaxnets.training.labels import check_labels
from jaxnets.training.nonfinite import nonfinite_data, not_finite
from jaxnets.training.pace import CAPACITY, Pace
from jaxnets.training.population.advance import advance
from jaxnets.training.population.evaluate import evaluate_population, member_values
from jaxnets.training.population.members import count_members
from jaxnets.training.population.programs import Programs
from jaxnets.training.report import Progress, Reporter, silent
from jaxnets.training.resume import Saver, identity
from jaxnets.training.stops import Interrupted, SavingFailed
from jaxnets.training.update import Hyper, TrainState, Update


class PopulationFit(NamedTuple):
    """What a population's run leaves; each leaf of `train_states` has the leading axis N.

    Attributes:
      train_states: the members' last ones; of a member that diverged the last that was finite.
      history: the last report of each epoch; its metrics are arrays (N,), NaN once diverged.
      diverged: the step at which each member's objective or update was first not finite; -1
        where none was; int (N,).
      strategy: "vmap" or "map", chosen or measured.
      compile_seconds: time to initialise, trace, compile, and measure.
      train_seconds: time of the updates alone.
      samples_per_second: examples trained on a second, over all members.
    """

    train_states: TrainState
    history: tuple[Progress, ...]
    diverged: np.ndarray
    strategy: Strategy
    compile_seconds: float
    train_seconds: float
    samples_per_second: float


@one_split
def fit_population(
    update: Update,
    train: tuple[Any, Any],
    *,
    keys: Key,
    epochs: int,
    batch_size: int,
    hypers: Hyper = None,
    start: TrainState | None = None,
    validation: tuple[Any, Any] | None = None,
    share_batches: bool = False,
    strategy: Strategy | None = None,
    remainder: Remainder = "drop",
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    report: Reporter = silent,
    chunk_seconds: float = 1.0,
) -> PopulationFit:
    """Train N models in one program, each with its own key and hyperparameters.

    A member is what `fit` makes of its key and hyperparameters, up to rounding; one that diverges
    is put back to its last finite state, and harms no other.

    Args:
      update: one step of one member; see `make_update`.
      train: inputs (n, ...) and labels (n, ...), the same for all.
      keys: typed keys (N,), as of `jax.random.split(key, N)`.
      epochs: passes over the data, those behind `start` included.
      batch_size: examples a step and member.
      hypers: a pytree of numbers as `fit` takes it, each with the leading axis N.
      start: train states to go on from, each leaf with the leading axis N; they are copied.
      validation: a split to evaluate every member on after every epoch.
      share_batches: one order, drawn from the first key, for all: much less memory traffic, but
        then the seeds' spread leaves out what the order does.
      strategy: "vmap" trains all at once and "map" one after another in the same program;
        by default both are timed for a few steps and the faster is taken. They may round
        differently.
      remainder: "drop" the last, smaller batch of an epoch, or "pad" and mask it.
      checkpoints: where to save the population, as `fit` saves a run.
      resume: go on from the newest of the `checkpoints`, as `fit` does.
      report: called after every chunk with a `Progress` of the median over members not diverged.
      chunk_seconds: how long the device works between two looks at signals and losses.

    Raises:
      RunError: sizes that do not fit, leading axes that differ, or a population too large for
        the memory, found before it is trained; or checkpoints of another population.
      CheckpointError: a checkpoint cannot be restored.
      Interrupted: Ctrl-C or SIGTERM, after the current chunk; it holds the `PopulationFit` so far.
      SavingFailed: a checkpoint cannot be written; it holds the `PopulationFit` so far.
    """
    check_update("fit_population", update, start)
    keys = member_keys("fit_population", keys)
    hypers = numbers("fit_population", "hypers", hypers)
    train, validation = splits("fit_population", train, validation)
    sizes = check_run("fit_population", train, validation, epochs, batch_size, None, remainder)
    epochs, batch_size, _ = sizes
    check_saving("fit_population", "stop", checkpoints, resume)
    check_reporting("fit_population", report, (), chunk_seconds)
    check_strategy("fit_population", strategy)
    n = count_members(keys, hypers)
    data = (jnp.asarray(train[0]), jnp.asarray(train[1]))
    sizes = {"batch_size": batch_size, "remainder": remainder}
    steps = steps_per_epoch(len(data[0]), **sizes)
    order_key = jax.random.key(0) if share_batches else None
    programs = Programs(update, data, hypers, order_key, {**sizes, "capacity": CAPACITY})

    def validate(strategy: Strategy, rows: int | None = None) -> dict[str, np.ndarray] | None:
        if validation is None:
            return None
        split = (validation[0][:rows], validation[1][:rows])
        found = (course.train_state.params, course.train_state.state, split, update.metrics)
        return evaluate_population(update.model, *found, hypers=hypers, strategy=strategy)

    began = time.perf_counter()
    hyper = jax.tree.map(lambda leaf: leaf[0], hypers)
    spec = jax.eval_shape(update.init, jax.random.key(0), data[0][:1], hyper)
    check_labels("fit_population", update, spec, hyper, data, validation, batch_size)
    programs.check_memory(spec, n, strategy or "vmap")
    options = {**sizes, "share_batches": share_batches, "strategy": strategy}
    about = {} if checkpoints is None else identity(train, validation, hypers, key=keys, **options)
    saver = Saver(checkpoints, about)
    states = copy(start) if start else programs.start(keys)
    step = int(states.step.max())  # of a member that diverged it is less
    course = Course(states, step, programs.no_sums(n), diverged=[-1] * n, strategy=strategy)
    course = saver.restored(course) if resume else course
    if share_batches:
        programs = programs._replace(order_key=jax.random.clone(course.train_state.key)[0])
    chosen = course.strategy or programs.fastest(course.train_state, course.step)
    course.strategy = chosen
    states = copy(course.train_state)
    programs.run(chosen, states, course.sums, course.step, course.step)  # only compiles
    validate(chosen, rows=1)
    compile_seconds = time.perf_counter() - began

    pace = Pace(chunk_seconds, n * batch_size, seconds=course.seconds)
    first_step, first_second, signal = course.step, course.seconds, None

    def fitted() -> PopulationFit:
        trained = (course.step - first_step) * n * batch_size
        return PopulationFit(
            train_states=course.train_state,
            history=course.history,
            diverged=np.array(course.diverged),
            strategy=chosen,
            compile_seconds=compile_seconds,
            train_seconds=course.seconds,
            samples_per_second=trained / max(course.seconds - first_second, 1e-9),
        )

    with first_signal() as signalled:
        try:
            while course.step < steps * epochs and signal is None:
                epoch = course.step // steps
                stop = min(course.step + pace.length, (epoch + 1) * steps)
                advance(programs, course, stop, pace, fresh=course.step % steps == 0)
                done = stop % steps == 0
                validated = _known(validate(chosen), course) if done else None
                progress = Progress(
                    step=stop,
                    steps=steps * epochs,
                    epoch=epoch + 1,
                    epochs=epochs,
                    epoch_done=done,
                    train=_known(member_values(update.metrics, course.sums), course),
                    validation=validated,
                    seconds=course.seconds,
                    samples_per_second=pace.samples_per_second,
                    warnings=_warnings(validated, course, data, validation),
                )
                course.record(progress)
                report(_median(progress))
                signal = signalled()
                saver.save(course, now=signal is not None)
            saver.save(course, now=True)
            saver.wait()
        except CheckpointError as error:
            raise SavingFailed(fitted(), error) from error
    if signal is not None:
        raise Interrupted(fitted(), signal)
    return fitted()


def _known(values: dict[str, np.ndarray] | None, course: Course) -> Any:
    """The values with NaN for members that diverged."""
    if values is None:
        return None
    lost = np.array(course.diverged) >= 0
    return {
        name: np.where(lost.reshape(-1, *[1] * (value.ndim - 1)), np.nan, value)
        for name, value in values.items()
    }


def _warnings(values: Any, course: Course, data: Any, validation: Any) -> tuple[str, ...]:
    """What explains that all members diverged, or that one's validation loss is not finite."""
    known = np.array(course.diverged) < 0
    if not known.any():
        cause = nonfinite_data("train", data)
        return (f"all members diverged; {cause}",) if cause else ()
    if values is None or values["loss"].ndim > 1:
        return ()
    return not_finite({"loss": values["loss"][known]}, validation)


def _median(progress: Progress) -> Progress:
    """The progress with each metric's median over the members that have not diverged."""

    def medians(values: Any) -> Any:
        if values is None:
            return None
        known = {name: value[~np.isnan(value)] for name, value in values.items() if value.ndim == 1}
        return {name: float(np.median(v)) if v.size else np.nan for name, v in known.items()}

    return progress._replace(train=medians(progress.train), validation=medians(progress.validation))
