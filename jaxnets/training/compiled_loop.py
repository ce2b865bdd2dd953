"""The compiled loop of a run: everything that does not change from chunk to chunk."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import jax
import numpy as np

from jaxnets.arrays import on_device, shape_of
from jaxnets.draws import OPTIONS
from jaxnets.initialisation import KeysFirst
from jaxnets.layer import Key
from jaxnets.sharding import ShardingPlan, place, replicate, use_mesh
from jaxnets.training.chunk import CAPACITY, chunk_program, step_program
from jaxnets.training.placement import state_shardings
from jaxnets.training.programs import executable, program
from jaxnets.training.runners import OneModel, Runner
from jaxnets.training.source import Source
from jaxnets.training.train_step import Batch, Hparams, Sums, resolve

OnNonFinite = Literal["stop", "skip", "ignore"]


@dataclass(frozen=True, eq=False)
class CompiledLoop:
    """Runs chunks of steps.

    Attributes:
      train_step: a train step, or a function of `hparams` that returns one.
      source: the source of the batches.
      order_key: the key that shuffles the data; keys (members,) if each member has its own order.
      period: the number of steps after which the training metrics are reset.
      on_nonfinite: as in `fit`.
      runner: the runner of one model, or of a population.
      mesh: the devices over which the run is sharded; None for a single device.
      plan: what is sharded over the mesh, and how.
    """

    train_step: Any
    source: Source
    order_key: Key
    period: int
    on_nonfinite: OnNonFinite = "stop"
    runner: Runner = OneModel()  # noqa: RUF009
    mesh: jax.sharding.Mesh | None = None
    plan: ShardingPlan | None = None

    @property
    def steps_per_epoch(self) -> int:
        """The number of batches per epoch."""
        return self.source.reader.epochs.steps

    @property
    def batch(self) -> Batch:
        """The shapes and dtypes of a batch."""
        rows = self.source.reader.epochs.batch_size
        return jax.tree.map(partial(shape_of, rows), self.source.example)

    def init(self, keys: Key, hparams: Hparams) -> Any:
        """The initial train state; on a mesh, computed where the plan places it."""
        x = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), self.source.example.x)
        if self.mesh is None:
            return self._init((keys, hparams), x)
        shapes = self.init_shapes(keys, hparams)
        options = {"out_shardings": self.shardings(shapes), "compiler_options": OPTIONS}
        init = program(self.train_step, _make_init, self.runner, **options)
        with use_mesh(self.mesh):
            return init(*replicate(self.mesh, ((keys, hparams), x)))

    def shardings(self, shapes: Any) -> Any:
        """The sharding of each leaf of a train state, on a mesh."""
        members = None if isinstance(self.runner, OneModel) else self.runner.members
        return state_shardings(self.mesh, self.plan, shapes, members)

    def place(self, train_state: Any) -> Any:
        """A train state sharded as the plan says."""
        if self.mesh is None:
            return train_state
        return place(train_state, self.shardings(train_state))

    def init_shapes(self, keys: Key, hparams: Hparams) -> Any:
        """The shapes and dtypes of what `init` returns."""
        return self._init.eval_shape((keys, hparams), self.source.example.x)

    @property
    def _init(self) -> Any:
        return program(self.train_step, _make_init, self.runner, jit=KeysFirst)

    def place_shapes(self, shapes: Any) -> Any:
        """The shapes of a train state, with the sharding of each leaf."""
        if self.mesh is None:
            return shapes

        def placed(leaf: Any, sharding: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

        return jax.tree.map(placed, shapes, self.shardings(shapes))

    def zero_sums(self, train_state: Any, hparams: Hparams) -> Sums:
        """Sums of zero, for the start of a period; traced once for each shape."""
        rows = self.source.reader.epochs.batch_size
        sums = program(self.train_step, _make_period_sums, self.runner, rows)
        return self.zeros(sums.eval_shape((train_state, hparams), self.batch))

    def zeros(self, shapes: Any) -> Any:
        """Arrays of zeros in these shapes and dtypes."""
        zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
        return replicate(self.mesh, jax.tree.map(on_device, zeros))

    def run(
        self, train_state: Any, sums: Sums, hparams: Hparams, arrays: Any, start: int, stop: int
    ) -> tuple[Any, Sums, np.ndarray]:
        """Train from step `start` to step `stop`; `train_state` is donated.

        Returns:
          The train state, the sums, and the objectives (members, stop - start).
        """
        arguments = self.arguments(train_state, sums, hparams, arrays, start, stop)
        with use_mesh(self.mesh):
            arguments = replicate(self.mesh, arguments)
            train_state, sums, objectives = self.executable(arguments)(*arguments)
        # Wait before the copy to the host: Ctrl-C interrupts the wait, but not the copy.
        objectives = np.asarray(jax.block_until_ready(objectives))
        return train_state, sums, objectives.reshape(-1, CAPACITY)[:, : stop - start]

    def arguments(
        self, train_state: Any, sums: Sums, hparams: Hparams, arrays: Any, start: int, stop: int
    ) -> tuple:
        """The arguments of a chunk's program; the first four are per member, the others shared."""
        keys, key = (self.order_key, None) if self.order_key.ndim else (None, self.order_key)
        bounds = (np.int32(start), np.int32(stop))
        return train_state, sums, hparams, keys, arrays, key, *bounds

    def executable(self, arguments: tuple) -> jax.stages.Compiled:
        """The compiled program of a chunk for these arguments, arrays or their shapes."""
        skip = self.on_nonfinite == "skip"
        train_state, reader = arguments[0], self.source.reader
        chunk = chunk_program(self.train_step, train_state, self.runner, reader, skip, self.mesh)
        return executable(self.train_step, chunk, arguments)

    def for_member(self, member: int) -> tuple["CompiledLoop", Callable[[Any], Any]]:
        """The loop of a single member, and a function that takes its slice of a tree."""
        runner, take = self.runner.for_member(member)
        key = take(self.order_key) if self.order_key.ndim else self.order_key
        return replace(self, runner=runner, order_key=key), take

    def batch_of(self, arrays: Any, step: int) -> Batch:
        """The batch of a step, for a single model."""
        shapes: list[Any] = []  # those of `batch` except the length of a padded batch

        def note(number: Any, batch: Batch, carry: int) -> int:
            del number
            shapes.append(
                jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), batch)
            )
            return carry

        def read(number: Any, batch: Batch, carry: Batch) -> Batch:
            del number, carry
            return batch

        loop = partial(self.source.reader.loop, body=note, carry=0)
        jax.eval_shape(loop, arrays, self.order_key, step, step + 1)
        loop = jax.jit(partial(self.source.reader.loop, body=read, carry=self.zeros(shapes[0])))
        return loop(arrays, self.order_key, step, step + 1)


def _make_period_sums(step: Callable[[], Any], runner: Runner, rows: int) -> Callable[..., Sums]:
    def member(per_member: Any, batch: Batch) -> Sums:
        _, sums = step_program(step())(per_member[0], batch, per_member[1])
        return {name: value for name, value in sums.items() if name != "objective"}

    return runner.over_members(member, rows)


def _make_init(step: Callable[[], Any], runner: Runner) -> Callable[..., Any]:
    def member(per_member: Any, x: Any) -> Any:
        key, hparams = per_member
        train_step, _ = resolve(step(), hparams)
        return train_step.init(key, x)

    # Sequentially, so that a member starts from the same bits as a model trained alone.
    return runner.sequential(member)
