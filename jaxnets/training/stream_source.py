"""A source that prefetches blocks of steps from a `data.Stream`."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.data.stream import Stream
from jaxnets.errors import RunError
from jaxnets.layer import Array, Key
from jaxnets.sharding import from_rows, shard_batch
from jaxnets.training.source import Body, Epochs, example_of
from jaxnets.training.step_loop import step_loop
from jaxnets.training.train_step import Batch

MAX_STEPS = 256  # per block


@dataclass(frozen=True)
class StreamReader:
    """Takes each batch from a block of batches."""

    epochs: Epochs
    weighted: bool

    def loop(
        self, arrays: Any, key: Key | None, start: Array, stop: Array, body: Body, carry: Any
    ) -> Any:
        """One loop over steps; the examples were shuffled when the block was read."""
        del key
        block, first = arrays

        def step(number: Array, carry: Any) -> Any:
            index = number - first
            batch = jax.tree.map(
                lambda b: jax.lax.dynamic_index_in_dim(b, index, keepdims=False), block
            )
            return body(number, shard_batch(batch), carry)

        return step_loop(start, stop, step, carry)


class StreamSource:
    """A `Source` that holds a few blocks of steps; a block is a function of its number alone."""

    def __init__(
        self, data: Stream, epochs: Epochs, key: Key, mesh: jax.sharding.Mesh | None = None
    ):
        if key.ndim:
            raise RunError(
                "a population on a stream expects one order for all members, since each batch is "
                "read once, but got one order per member; pass share_batches=True"
            )
        x, y, weights = data.example
        self.reader = StreamReader(epochs, weights is not None)
        self.example = example_of(x, y)
        row_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(data.example))
        steps = data.block_bytes // max(row_bytes * epochs.batch_size, 1)
        self.length = int(min(max(steps, 1), MAX_STEPS, epochs.steps))  # steps per block
        self._data, self._key, self._mesh = data, key, mesh
        self._order: tuple[int, np.ndarray] = (-1, np.zeros(0, int))
        self._reading: dict[int, Future] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="blocks")

    def read(self, start: int, stop: int) -> tuple[Any, int]:
        """The block with step `start`, and the step it ends at; prefetches the next blocks."""
        number, first, last = self._block_at(start)
        self._reading = {
            n: self._reading.get(n) or self._thread.submit(self._read, n)
            for n in range(number, number + 1 + self._data.ahead)
        }
        return (self._reading[number].result(), np.int32(first)), min(stop, last)

    def close(self) -> None:
        """Drop all blocks and stop prefetching until the next `read`."""
        for block in self._reading.values():
            block.cancel()
        self._reading = {}

    def _block_at(self, step: int) -> tuple[int, int, int]:
        """The number of a step's block, the block's first step, and the step after its last."""
        steps = self.reader.epochs.steps
        epoch, index = divmod(step, steps)
        per_epoch = -(-steps // self.length)
        first = epoch * steps + index // self.length * self.length
        return (
            epoch * per_epoch + index // self.length,
            first,
            min(first + self.length, (epoch + 1) * steps),
        )

    def _read(self, number: int) -> Batch:
        """Block `number`: leaves (length, batch, ...), padded with zeros after its epoch's end."""
        epochs = self.reader.epochs
        epoch, index = divmod(number, -(-epochs.steps // self.length))
        start = index * self.length * epochs.batch_size
        order = self._order_of(epoch)[start : start + self.length * epochs.batch_size]
        missing = self.length - len(order) // epochs.batch_size  # steps

        def read(rows: np.ndarray) -> Batch:
            batch = self._read_rows(rows.ravel())

            def block(array: np.ndarray) -> np.ndarray:
                steps = array.reshape(*rows.shape, *array.shape[1:])
                return np.pad(steps, [(0, missing)] + [(0, 0)] * (steps.ndim - 1))

            return jax.tree.map(block, batch)

        return from_rows(self._mesh, order.reshape(-1, epochs.batch_size), read)

    def _read_rows(self, order: np.ndarray) -> Batch:
        x, y, example_weights = self._data.read(np.where(order < 0, -1 - order, order))
        weights = (order >= 0).astype(np.float32)
        weights = weights if example_weights is None else weights * example_weights
        return Batch(x, y, weights)

    def _order_of(self, epoch: int) -> np.ndarray:
        if self._order[0] != epoch:
            order = _order(self.reader.epochs, self._key, jnp.int32(epoch))
            self._order = (epoch, np.asarray(order))
        return self._order[1]


_order = jax.jit(Epochs.order, static_argnums=0)
