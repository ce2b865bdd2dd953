"""A run's compiled chunk, with all that stays the same from chunk to chunk."""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.devices import everywhere, using
from jaxnets.layer import Array, Key
from jaxnets.training.arguments import RunError
from jaxnets.training.chunk import Remainder, batch_of, chunk_program, no_sums, steps_per_epoch
from jaxnets.training.course import Course, copy
from jaxnets.training.evaluate import evaluate, values
from jaxnets.training.nonfinite import (
    all_finite,
    first_bad_step,
    last_good,
    nonfinite_data,
    not_finite,
)
from jaxnets.training.pace import CAPACITY, Pace
from jaxnets.training.report import Progress
from jaxnets.training.stops import NonFiniteLoss
from jaxnets.training.update import Hyper, Sums, TrainState, Update

OnNonFinite = Literal["stop", "skip", "ignore"]


@dataclass(frozen=True)
class Program:
    """What `fit` runs, chunk by chunk, on a course; its arguments say what each part is."""

    update: Update
    data: tuple[Array, Array]
    validation: tuple[Any, Any] | None
    hyper: Hyper
    batch_size: int
    remainder: Remainder
    on_nonfinite: OnNonFinite
    mesh: jax.sharding.Mesh | None = None

    @property
    def steps(self) -> int:
        """Steps an epoch."""
        return steps_per_epoch(len(self.data[0]), self.batch_size, self.remainder)

    def end_of_epoch(self, step: int) -> int:
        """The first step of the epoch after that of `step`."""
        return (step // self.steps + 1) * self.steps

    def start(self, key: Key) -> TrainState:
        """The train state of step 0."""
        return _init(self.update, self._example, key, self.hyper)

    def spec(self, key: Key) -> TrainState:
        """Its shapes and dtypes, which are known without compiling."""
        return _init.eval_shape(self.update, self._example, key, self.hyper)

    @property
    def _example(self) -> jax.ShapeDtypeStruct:
        x = self.data[0]
        return jax.ShapeDtypeStruct((1, *x.shape[1:]), x.dtype)

    def compiled(self, train_state: TrainState, patience: int | None) -> Course:
        """A course from here, for which everything is compiled and no step is made."""
        step = int(train_state.step)
        zeros = no_sums(self.update, train_state, self.data, self.hyper, self.batch_size)
        train_state, sums, _ = self._run(train_state, jax.device_put(zeros), step)
        validation = self.validate(train_state, rows=1)
        if patience and validation and not isinstance(validation["loss"], int | float):
            raise RunError(
                'patience expects the metric "loss" to be one number, but got an array of shape '
                f"{validation['loss'].shape}; name that metric otherwise"
            )
        best = copy(train_state) if patience else None
        return Course(train_state, step, sums, patience, best)

    def advance(self, course: Course, stop: int, pace: Pace) -> np.ndarray:
        """Move the course to step `stop`, in one epoch; return the objectives of its steps.

        Raises:
          NonFiniteLoss: a step was not finite, and that stops a run; the course is then at the
            last good state.
        """
        start, stops, sums = course.step, self.on_nonfinite == "stop", course.sums
        if start % self.steps == 0:
            sums = jax.tree.map(jnp.zeros_like, sums)
        before = copy(course.train_state) if stops else course.train_state
        with pace.timed(stop - start):
            after, summed, objectives = self._run(course.train_state, sums, stop)
        objectives = objectives[: stop - start]
        course.seconds = pace.seconds
        if stops:
            bad = first_bad_step(objectives, start, stop, all_finite(after.params))
            if bad is not None:
                after, summed, _ = last_good(lambda stop: self._run(copy(before), sums, stop), bad)
        else:
            bad, course.nonfinite = None, course.nonfinite + int((~np.isfinite(objectives)).sum())
        course.train_state, course.step, course.sums = after, int(after.step), summed
        if bad is not None:
            raise NonFiniteLoss(after, *self._cause(after))
        return objectives

    def progress(
        self, course: Course, epochs: int, pace: Pace, warnings: tuple[str, ...]
    ) -> Progress:
        """The report of where the course stands, entered into its history."""
        epoch, rest = divmod(course.step - 1, self.steps)
        done = rest + 1 == self.steps
        validation = self.validate(course.train_state) if done else None
        progress = Progress(
            step=course.step,
            steps=self.steps * epochs,
            epoch=epoch + 1,
            epochs=epochs,
            epoch_done=done,
            train=values(self.update.metrics, course.sums),
            validation=validation,
            seconds=course.seconds,
            samples_per_second=pace.samples_per_second,
            nonfinite=course.nonfinite,
            warnings=warnings + not_finite(validation, self.validation),
        )
        course.record(progress)
        return progress

    def validate(self, train_state: TrainState, rows: int | None = None) -> dict[str, Any] | None:
        """The metrics over the validation split, or over its first rows."""
        if self.validation is None:
            return None
        split = (self.validation[0][:rows], self.validation[1][:rows])
        found = (train_state.params, train_state.state, split, self.update.metrics)
        with using(self.mesh):
            return evaluate(self.update.model, *found, hyper=self.hyper)

    def _run(
        self, train_state: TrainState, sums: Sums, stop: int
    ) -> tuple[TrainState, Sums, np.ndarray]:
        train_state, sums = everywhere(self.mesh, (train_state, sums))
        with using(self.mesh):
            train_state, sums, objectives = chunk_program(train_state.params)(
                self.update,
                train_state,
                self.data,
                self.hyper,
                stop,
                batch_size=self.batch_size,
                remainder=self.remainder,
                capacity=CAPACITY,
                skip_nonfinite=self.on_nonfinite == "skip",
                sums=sums,
            )
        # Waiting before reading: a read cannot be interrupted, and a wait can.
        return train_state, sums, np.asarray(jax.block_until_ready(objectives))

    def _cause(self, good: TrainState) -> tuple[Any, str | None]:
        """What made the first non-finite number in the next update, and whether the data did."""
        from jaxnets.inspect import first_nonfinite

        sizes = {"batch_size": self.batch_size, "remainder": self.remainder}
        batch = batch_of(good, self.data, **sizes)
        culprit = first_nonfinite(self.update, good, batch, self.hyper)
        return culprit, None if all_finite(batch) else nonfinite_data("train", self.data)


# It runs once, in milliseconds, and optimising it in full would take longer than compiling it.
@partial(jax.jit, static_argnums=(0, 1), compiler_options={"xla_backend_optimization_level": 1})
def _init(update: Update, x: jax.ShapeDtypeStruct, key: Key, hyper: Hyper) -> TrainState:
    """`update.init` as one program, where step by step it would be one a shape."""
    return update.init(key, x, hyper)
