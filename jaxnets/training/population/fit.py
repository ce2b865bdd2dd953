"""The training loop of a population: that of `fit`, for all members at once."""

import time
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.layer import Key
from jaxnets.training.check import check_labels, check_run
from jaxnets.training.chunk import Remainder, steps_per_epoch
from jaxnets.training.interrupt import first_signal
from jaxnets.training.nonfinite import all_finite, first_bad_step, last_good
from jaxnets.training.pace import CAPACITY, Pace
from jaxnets.training.population.evaluate import evaluate_population, member_values
from jaxnets.training.population.members import Strategy, count_members, over_members
from jaxnets.training.population.programs import Programs
from jaxnets.training.report import Progress, Reporter, silent
from jaxnets.training.stops import Interrupted
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
      report: called after every chunk with a `Progress` of the median over members not diverged.
      chunk_seconds: how long the device works between two looks at signals and losses.

    Raises:
      RunError: sizes that do not fit, leading axes that differ, or a population too large for
        the memory, found before it is trained.
      Interrupted: Ctrl-C or SIGTERM, after the current chunk; it holds the `PopulationFit` so far.
    """
    check_run(train, validation, epochs, batch_size, None, remainder)
    n = count_members(keys, hypers)
    hypers = jax.tree.map(lambda value: jnp.asarray(np.asarray(value)), hypers)
    data = (jnp.asarray(train[0]), jnp.asarray(train[1]))
    steps = steps_per_epoch(len(data[0]), batch_size, remainder)
    options = {"batch_size": batch_size, "remainder": remainder, "capacity": CAPACITY}
    order_key = jax.random.key(0) if share_batches else None
    programs = Programs(update, data, hypers, order_key, options)

    def validate(rows: int | None = None) -> dict[str, np.ndarray] | None:
        if validation is None:
            return None
        split = (validation[0][:rows], validation[1][:rows])
        found = (states.params, states.state, split, update.metrics)
        return evaluate_population(update.model, *found, hypers=hypers, strategy=strategy or "vmap")

    began = time.perf_counter()
    hyper = jax.tree.map(lambda leaf: leaf[0], hypers)
    spec = jax.eval_shape(update.init, jax.random.key(0), data[0][:1], hyper)
    check_labels(update, spec, hyper, train, validation)
    programs.check_memory(spec, n, strategy or "vmap")
    states = _copy(start) if start else _init(update, keys, data[0][:1], hypers)
    step = first_step = int(states.step.max())  # of one that diverged it is less
    if share_batches:
        programs = programs._replace(order_key=jax.random.clone(states.key)[0])
    strategy = strategy or programs.fastest(states, step)
    states, *_ = programs.run(strategy, states, step, step)  # no step is made: this only compiles
    validate(rows=1)
    compile_seconds = time.perf_counter() - began

    pace, history, diverged = Pace(chunk_seconds, n * batch_size), [], np.full(n, -1)
    good: dict[int, TrainState] = {}  # by member that diverged, its last finite train state
    with first_signal() as signalled:
        while step < steps * epochs and signalled() is None:
            epoch, first = divmod(step, steps)
            stop = min(step + pace.length, step - first + steps)
            before = _copy(states)
            with pace.timed(stop - step):
                states, new, objectives = programs.run(strategy, states, step, stop)
                objectives = np.asarray(jax.block_until_ready(objectives))
            finite = np.asarray(_members_finite(states.params))
            for i in np.flatnonzero(diverged < 0).tolist():
                bad = first_bad_step(objectives[i], step, stop, finite[i])
                if bad is not None:
                    good[i] = _rerun(programs, before, i, step, bad)
                    diverged[i] = int(good[i].step[0])
            sums = new if first == 0 or step == first_step else jax.tree.map(jnp.add, sums, new)
            step, epoch_done = stop, stop % steps == 0
            progress = Progress(
                step=step,
                steps=steps * epochs,
                epoch=epoch + 1,
                epochs=epochs,
                epoch_done=epoch_done,
                train=_known(member_values(update.metrics, sums), diverged),
                validation=_known(validate(), diverged) if epoch_done else None,
                seconds=pace.seconds,
                samples_per_second=pace.samples_per_second,
            )
            report(_median(progress))
            if history and history[-1].epoch == progress.epoch:
                history.pop()
            history.append(progress)
    for i, member in good.items():
        states = jax.tree.map(lambda all, own, i=i: all.at[i].set(own[0]), states, member)
    fitted = PopulationFit(
        train_states=states,
        history=tuple(history),
        diverged=diverged,
        strategy=strategy,
        compile_seconds=compile_seconds,
        train_seconds=pace.seconds,
        samples_per_second=(step - first_step) * n * batch_size / max(pace.seconds, 1e-9),
    )
    if (number := signalled()) is not None:
        raise Interrupted(fitted, number)
    return fitted


@partial(jax.jit, static_argnums=0)
def _init(update: Update, keys: Key, x: Any, hypers: Hyper) -> TrainState:
    """One after another, so that a member starts from the bits that it would have alone."""
    member = over_members(lambda own, x: update.init(own[0], x, own[1]), "map")
    return member((keys, hypers), x)


_members_finite = jax.jit(jax.vmap(all_finite))


def _copy(states: TrainState) -> TrainState:
    return jax.tree.map(jnp.copy, states)


def _rerun(programs: Programs, before: TrainState, member: int, start: int, bad: int) -> TrainState:
    """The member's last finite state, leading axis 1, from the states at the chunk's start."""
    alone = programs.only(member)

    def advance(stop: int) -> tuple:
        states = before._replace(key=jax.random.clone(before.key))
        own = jax.tree.map(lambda leaf: jnp.copy(leaf[member : member + 1]), states)
        return alone.run("map", own, start, stop)

    return last_good(advance, bad)[0]


def _known(values: dict[str, np.ndarray] | None, diverged: np.ndarray) -> Any:
    """The values with NaN for members that diverged."""
    if values is None:
        return None
    lost = diverged >= 0
    return {
        name: np.where(lost.reshape(-1, *[1] * (value.ndim - 1)), np.nan, value)
        for name, value in values.items()
    }


def _median(progress: Progress) -> Progress:
    """The progress with each metric's median over the members that have not diverged."""

    def medians(values: Any) -> Any:
        if values is None:
            return None
        known = {name: value[~np.isnan(value)] for name, value in values.items() if value.ndim == 1}
        return {name: float(np.median(v)) if v.size else np.nan for name, v in known.items()}

    return progress._replace(train=medians(progress.train), validation=medians(progress.validation))
