"""The ordinary training loop: the host wakes between chunks, and only then."""

import math
import time
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.layer import Key
from jaxnets.training.check import check_labels, check_run
from jaxnets.training.chunk import Remainder, run_chunk, steps_per_epoch
from jaxnets.training.evaluate import evaluate, values
from jaxnets.training.interrupt import first_signal
from jaxnets.training.pace import CAPACITY, Pace
from jaxnets.training.report import Progress, Reporter, silent
from jaxnets.training.update import Hyper, Sums, TrainState, Update


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


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM came during a run; `fit` is what it had learnt by then.

    `fit` is what the interrupted function would have returned: a `Fit` or a `PopulationFit`.
    """

    def __init__(self, fit: Any, signal: int):
        super().__init__(f"training was interrupted by signal {signal}")
        self.fit = fit
        self.signal = signal


class NonFiniteLoss(ArithmeticError):
    """The objective became NaN or infinite; `train_state` is the state after that chunk."""

    def __init__(self, step: int, value: float, train_state: TrainState):
        super().__init__(
            f"the loss became {value} at step {step}; lower the learning rate, clip the gradient "
            f"(optax.clip_by_global_norm), or look for a logarithm or division in the model"
        )
        self.train_state = train_state


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
    report: Reporter = silent,
    chunk_seconds: float = 1.0,
) -> Fit:
    """Train, and evaluate after every epoch where there is a validation split.

    Args:
      update: one step; see `make_update`.
      train: inputs (n, ...) and labels (n, ...); they stay on the device in their own dtype.
      key: decides initial weights, order, and all chance: same key, same run.
      epochs: passes over the data, those behind `start` included.
      batch_size: examples a step, at most n.
      start: a train state to go on from, by default `update.init(key, ...)`; it is copied, and
        `key` goes unused.
      hyper: a pytree of numbers, passed on to the model and the optimizer; new values do not
        recompile.
      validation: a split to evaluate on after every epoch.
      patience: stop after so many epochs without a smaller validation loss, and go back to the
        parameters of the best.
      remainder: "drop" the last, smaller batch of an epoch, or "pad" and mask it.
      report: called with a `Progress` after every chunk.
      chunk_seconds: how long the device works between two looks at signals and losses.

    Returns:
      A `Fit`.

    Raises:
      RunError: data, labels or sizes that do not fit, found before anything is trained.
      NonFiniteLoss: the objective became NaN or infinite.
      Interrupted: Ctrl-C or SIGTERM, after the current chunk; it holds the `Fit` so far.
    """
    check_run(train, validation, epochs, batch_size, patience, remainder)
    hyper = jax.tree.map(lambda value: jnp.asarray(np.asarray(value)), hyper)
    data = (jnp.asarray(train[0]), jnp.asarray(train[1]))
    steps = steps_per_epoch(len(data[0]), batch_size, remainder)
    chunk = partial(run_chunk, batch_size=batch_size, remainder=remainder, capacity=CAPACITY)

    def advance(train_state: TrainState, stop: int) -> tuple[TrainState, Sums, np.ndarray]:
        train_state, sums, objectives = chunk(update, train_state, data, hyper, stop)
        # Waiting before reading: a read cannot be interrupted, and a wait can.
        return train_state, sums, np.asarray(jax.block_until_ready(objectives))

    def validate(train_state: TrainState, rows: int | None = None) -> dict[str, float] | None:
        if validation is None:
            return None
        split = (validation[0][:rows], validation[1][:rows])
        params, state = train_state.params, train_state.state
        return evaluate(update.model, params, state, split, update.metrics, hyper=hyper)

    began = time.perf_counter()
    train_state = _copy(start) if start else update.init(key, data[0][:1], hyper)
    check_labels(update, train_state, hyper, train, validation)
    train_state, *_ = advance(
        train_state, stop=int(train_state.step)
    )  # no step is made: this only compiles
    validate(train_state, rows=1)
    compile_seconds = time.perf_counter() - began

    pace, watch, history = Pace(chunk_seconds, batch_size), _Watch(patience), []
    step = first_step = int(train_state.step)
    sums = None
    with first_signal() as signalled:
        while step < steps * epochs and signalled() is None and not watch.over:
            epoch, first = divmod(step, steps)
            stop = min(step + pace.length, step - first + steps)
            with pace.timed(stop - step):
                train_state, new, objectives = advance(train_state, stop)
            _refuse_non_finite(objectives, step, stop, train_state)
            sums = new if sums is None or first == 0 else jax.tree.map(jnp.add, sums, new)
            step, epoch_done = stop, stop % steps == 0
            progress = Progress(
                step=step,
                steps=steps * epochs,
                epoch=epoch + 1,
                epochs=epochs,
                epoch_done=epoch_done,
                train=values(update.metrics, sums),
                validation=validate(train_state) if epoch_done else None,
                seconds=pace.seconds,
                samples_per_second=pace.samples_per_second,
            )
            report(progress)
            if history and history[-1].epoch == progress.epoch:
                history.pop()
            history.append(progress)
            if epoch_done:
                watch.look(progress, train_state)
    fitted = Fit(
        train_state=watch.best or train_state,
        history=tuple(history),
        best_epoch=watch.epoch,
        compile_seconds=compile_seconds,
        train_seconds=pace.seconds,
        samples_per_second=(step - first_step) * batch_size / max(pace.seconds, 1e-9),
    )
    if (number := signalled()) is not None:
        raise Interrupted(fitted, number)
    return fitted


@dataclass
class _Watch:
    """Early stopping: the best state so far, and whether patience has run out."""

    patience: int | None
    best: TrainState | None = None
    epoch: int | None = None
    loss: float = math.inf
    over: bool = False

    def look(self, progress: Progress, train_state: TrainState) -> None:
        if self.patience is None or progress.validation is None:
            return
        if self.epoch is None or progress.validation["loss"] < self.loss:
            self.loss, self.epoch = progress.validation["loss"], progress.epoch
            self.best = _copy(train_state)
        self.over = progress.epoch - self.epoch >= self.patience


def _copy(train_state: TrainState) -> TrainState:
    """A copy with buffers of its own, since a chunk is given those it starts from."""
    return jax.tree.map(jnp.copy, train_state)


def _refuse_non_finite(objectives: np.ndarray, start: int, stop: int, state: TrainState) -> None:
    wrong = np.flatnonzero(~np.isfinite(objectives[: stop - start]))
    if wrong.size:
        raise NonFiniteLoss(start + int(wrong[0]), float(objectives[wrong[0]]), state)
