"""The compiled loop of a run, with all that stays the same from chunk to chunk."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.arrays import shape_of
from jaxnets.layer import Key
from jaxnets.sharding import replicate, use_mesh
from jaxnets.training.chunk import CAPACITY, chunk_program, step_program
from jaxnets.training.programs import executable, program
from jaxnets.training.runners import OneModel, Runner
from jaxnets.training.source import Source
from jaxnets.training.train_step import Batch, Hparams, Sums, resolve

OnNonFinite = Literal["stop", "skip", "ignore"]
# It runs once, in milliseconds, and optimizing it in full would take longer than compiling it.
INIT_OPTIONS = {"xla_backend_optimization_level": 1}


@dataclass(frozen=True, eq=False)
class CompiledLoop:
    """What runs a chunk.

    Attributes:
      train_step: one step, or a function of `hparams` that makes it.
      source: gives the batches.
      order_key: draws their order; keys (members,) where each member draws its own.
      period: steps after which the figures of training begin anew.
      on_nonfinite: as `fit` takes it.
      runner: for one model, or for a population.
      mesh: the devices that share each batch; None for one.
    """

    train_step: Any
    source: Source
    order_key: Key
    period: int
    on_nonfinite: OnNonFinite = "stop"
    runner: Runner = OneModel()  # noqa: RUF009
    mesh: jax.sharding.Mesh | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Batches in a pass over the data."""
        return self.source.reader.epochs.steps

    @property
    def batch(self) -> Batch:
        """The shapes and dtypes of a batch."""
        rows = self.source.reader.epochs.batch_size
        return jax.tree.map(partial(shape_of, rows), self.source.example)

    def init(self, keys: Key, hparams: Hparams) -> Any:
        """The train state of step 0, as one program."""
        x = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), self.source.example.x)
        return self._init((keys, hparams), x)

    def init_shapes(self, keys: Key, hparams: Hparams) -> Any:
        """The shapes and dtypes of what `init` returns."""
        return self._init.eval_shape((keys, hparams), self.source.example.x)

    @property
    def _init(self) -> Any:
        return program(self.train_step, _make_init, self.runner, compiler_options=INIT_OPTIONS)

    def zero_sums(self, train_state: Any, hparams: Hparams) -> Sums:
        """The sums over no step at all."""

        def member(own: Any, batch: Batch) -> Sums:
            _, sums = step_program(self.train_step)(own[0], batch, own[1])
            return {name: value for name, value in sums.items() if name != "objective"}

        each = self.runner.each(member, self.source.reader.epochs.batch_size)
        shapes = jax.eval_shape(each, (train_state, hparams), self.batch)
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    def run(
        self, train_state: Any, sums: Sums, hparams: Hparams, arrays: Any, start: int, stop: int
    ) -> tuple[Any, Sums, np.ndarray]:
        """Step from `start` until `stop`; `train_state` is donated.

        Returns:
          The train state, the sums, and the objectives (members, stop - start).
        """
        given = self.arguments(train_state, sums, hparams, arrays, start, stop)
        with use_mesh(self.mesh):
            given = replicate(self.mesh, given)
            train_state, sums, objectives = self.executable(given)(*given)
        # Waiting before reading: a read cannot be interrupted, and a wait can.
        objectives = np.asarray(jax.block_until_ready(objectives))
        return train_state, sums, objectives.reshape(-1, CAPACITY)[:, : stop - start]

    def arguments(
        self, train_state: Any, sums: Sums, hparams: Hparams, arrays: Any, start: int, stop: int
    ) -> tuple:
        """What the program of a chunk takes; the first four are the members' own."""
        own, shared = (self.order_key, None) if self.order_key.ndim else (None, self.order_key)
        bounds = (np.int32(start), np.int32(stop))
        return train_state, sums, hparams, own, arrays, shared, *bounds

    def executable(self, arguments: tuple) -> jax.stages.Compiled:
        """The program of a chunk for arguments like these, arrays or their shapes."""
        skip = self.on_nonfinite == "skip"
        train_state, reader = arguments[0], self.source.reader
        chunk = chunk_program(self.train_step, train_state, self.runner, reader, skip)
        return executable(self.train_step, chunk, arguments)

    def only(self, member: int) -> tuple["CompiledLoop", Callable[[Any], Any]]:
        """The loop of a member alone, and what takes its part of a tree."""
        runner, part = self.runner.only(member)
        key = part(self.order_key) if self.order_key.ndim else self.order_key
        return replace(self, runner=runner, order_key=key), part

    def batch_of(self, arrays: Any, step: int) -> Batch:
        """The batch of a step of a single model."""

        def read(number: Any, batch: Batch, carry: Batch) -> Batch:
            del number, carry
            return batch

        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), self.batch)
        loop = jax.jit(partial(self.source.reader.loop, body=read, carry=zeros))
        return loop(arrays, self.order_key, step, step + 1)


def _make_init(step: Callable[[], Any], runner: Runner) -> Callable[..., Any]:
    def member(own: Any, x: Any) -> Any:
        key, hparams = own
        train_step, _ = resolve(step(), hparams)
        return train_step.init(key, x)

    # one after another, so that a member starts from the bits that it would have alone
    return runner.one_by_one(member)
