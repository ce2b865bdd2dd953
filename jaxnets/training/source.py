"""Sources of batches: the batch of a step is a function of the step alone."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.arrays import on_device, shape_of
from jaxnets.keys import stream
from jaxnets.layer import Array, Key
from jaxnets.sharding import replicate, shard_batch
from jaxnets.training.order import permutation
from jaxnets.training.step_loop import step_loop
from jaxnets.training.train_step import Batch

Remainder = Literal["drop", "pad"]
Body = Callable[[Array, Batch, Any], Any]  # (step, batch, carry) -> carry


@dataclass(frozen=True)
class Epochs:
    """Shuffles the examples and splits them into batches in every epoch.

    Attributes:
      examples: the number of examples.
      batch_size: examples per step.
      remainder: "drop" leaves out the last, smaller batch of an epoch; "pad" fills it with the
        first examples of the same order, with weight 0.
    """

    examples: int
    batch_size: int
    remainder: Remainder

    @property
    def steps(self) -> int:
        """Steps per epoch."""
        full_batches = self.examples // self.batch_size
        return full_batches if self.remainder == "drop" else -(-self.examples // self.batch_size)

    def order(self, key: Key, epoch: Array) -> Array:
        """The rows of an epoch's batches, int32 (steps * batch_size,); -1 - i pads with row i.

        Epoch e is shuffled with `stream(key, "order", e)`, so a batch is a function of the step
        alone and does not depend on how steps are split into chunks.
        """
        order = permutation(stream(key, "order", epoch), self.examples)
        return jnp.concatenate([order, -1 - order])[: self.steps * self.batch_size]

    def rows(self, order: Array, index: Array | int) -> tuple[Array, Array]:
        """The rows of an epoch's batch, int32 (batch_size,), and their weights: 0 for padding."""
        rows = jax.lax.dynamic_slice(order, (index * self.batch_size,), (self.batch_size,))
        return jnp.where(rows < 0, -1 - rows, rows), (rows >= 0).astype(jnp.float32)


class Reader(Protocol):
    """The part of a source that is compiled into the program; hashable."""

    @property
    def epochs(self) -> Epochs:
        """The batches of an epoch."""
        ...

    @property
    def weighted(self) -> bool:
        """Whether the examples have weights, which may be 0 for a whole batch."""
        ...

    def loop(
        self, arrays: Any, key: Key | None, start: Array, stop: Array, body: Body, carry: Any
    ) -> Any:
        """Run `body` on the batch of every step from `start` to `stop`, both traced."""
        ...


class Source(Protocol):
    """The part of a source that runs in Python."""

    example: Batch  # one row of jax.ShapeDtypeStruct

    @property
    def reader(self) -> Reader:
        """The part that is compiled."""
        ...

    def read(self, start: int, stop: int) -> tuple[Any, int]:
        """The arrays for the steps from `start` on, and the step after the last, at most `stop`."""
        ...

    def close(self) -> None:
        """Release memory; the source can be read again."""
        ...


@dataclass(frozen=True)
class ResidentReader:
    """Shuffles the examples and gathers each batch inside the program."""

    epochs: Epochs
    weighted: bool

    def loop(
        self, arrays: Any, key: Key | None, start: Array, stop: Array, body: Body, carry: Any
    ) -> Any:
        """An outer loop over epochs, which shuffles, and an inner loop over steps."""
        steps = self.epochs.steps
        assert key is not None

        def step(epoch: Array, order: Array, index: Array, carry: Any) -> Any:
            rows, weights = self.epochs.rows(order, index)
            return body(epoch * steps + index, gather(arrays, rows, weights), carry)

        def epoch(number: Array, carry: Any) -> Any:
            order = self.epochs.order(key, number)
            first = jnp.maximum(start - number * steps, 0)
            last = jnp.minimum(stop - number * steps, steps)
            return step_loop(first, last, partial(step, number, order), carry)

        return jax.lax.fori_loop(start // steps, -(-stop // steps), epoch, carry)


class Resident:
    """A `Source` with all examples on the device."""

    def __init__(self, data: Batch, epochs: Epochs, mesh: jax.sharding.Mesh | None = None):
        self.reader = ResidentReader(epochs, data.weights is not None)
        self.arrays = replicate(mesh, jax.tree.map(on_device, data))
        self.example = example_of(data.x, data.y)

    def read(self, start: int, stop: int) -> tuple[Any, int]:
        """All examples, for any step."""
        del start
        return self.arrays, stop

    def close(self) -> None:
        """Nothing to release."""


def gather(arrays: Batch, rows: Array, weights: Array) -> Batch:
    """The batch of these rows; `weights` are multiplied by the examples' weights, if any."""
    x, y, example_weights = jax.tree.map(lambda a: a.at[rows].get(mode="promise_in_bounds"), arrays)
    weights = weights if example_weights is None else weights * example_weights
    return shard_batch(Batch(x, y, weights))


def example_of(x: Any, y: Any) -> Batch:
    """The shapes and dtypes of a batch of one example."""
    x, y = jax.tree.map(partial(shape_of, 1), (x, y))
    return Batch(x, y, jax.ShapeDtypeStruct((1,), np.float32))
