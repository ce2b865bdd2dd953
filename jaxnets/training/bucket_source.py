"""A source that pads batches to one of a few lengths, the same for consecutive steps."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.arrays import Examples, on_device
from jaxnets.data.buckets import Bucketed, cut, row_lengths
from jaxnets.errors import RunError
from jaxnets.keys import stream
from jaxnets.layer import Array, Key
from jaxnets.sharding import replicate
from jaxnets.training.source import Body, Epochs, example_of, gather
from jaxnets.training.step_loop import step_loop
from jaxnets.training.train_step import Batch


class Segment(NamedTuple):
    """Consecutive steps with batches of one length.

    Attributes:
      first: its first step, counted from the start of the epoch.
      steps: the number of its steps.
      length: the number of steps that the batches are padded to.
      rows: the rows of its batches, as in `Epochs.order`.
    """

    first: int
    steps: int
    length: int
    rows: np.ndarray


@dataclass(frozen=True)
class BucketReader:
    """Gathers each batch inside the program, and cuts it to the bucket's length."""

    epochs: Epochs
    weighted: bool

    def loop(
        self, arrays: Any, key: Key | None, start: Array, stop: Array, body: Body, carry: Any
    ) -> Any:
        """One loop over steps."""
        del key
        examples, order, first, marker = arrays

        def step(number: Array, carry: Any) -> Any:
            rows, weights = self.epochs.rows(order, number - first)
            batch = gather(examples, rows, weights)
            return body(number, cut(batch, marker.shape[0]), carry)

        return step_loop(start, stop, step, carry)


class BucketSource:
    """A `Source` with all examples on the device, in buckets by length."""

    def __init__(
        self, data: Bucketed, epochs: Epochs, key: Key, mesh: jax.sharding.Mesh | None = None
    ):
        if key.ndim:
            raise RunError(
                "a population on bucketed data expects one order for all members, since a program "
                "has batches of one length, but got one order per member; pass share_batches=True"
            )
        examples = Batch(*Examples(*data.examples))
        self.reader = BucketReader(epochs, examples.weights is not None)
        self.example = example_of(examples.x, examples.y)
        self._examples = replicate(mesh, jax.tree.map(on_device, examples))
        self._sizes, self._steps, self._key, self._mesh = data.lengths, data.steps, key, mesh
        self._bucket = np.searchsorted(data.lengths, row_lengths(data.examples))
        self._segments = lru_cache(2)(self._segments_of)

    def read(self, start: int, stop: int) -> tuple[Any, int]:
        """The examples and the order of the segment with step `start`, and the step it ends at."""
        epoch, index = divmod(start, self.reader.epochs.steps)
        segment = next(s for s in self._segments(epoch) if index < s.first + s.steps)
        first = start - index + segment.first
        rows = np.zeros(self._steps * self.reader.epochs.batch_size, np.int32)
        rows[: len(segment.rows)] = segment.rows
        order = replicate(self._mesh, on_device(rows))
        marker = np.zeros((segment.length, 0), np.float32)  # its static length is the bucket's
        return (self._examples, order, np.int32(first), marker), min(stop, first + segment.steps)

    def close(self) -> None:
        """Nothing to release."""

    def _segments_of(self, epoch: int) -> list[Segment]:
        """The segments of an epoch, in order: a function of the key and the epoch."""
        epochs = self.reader.epochs
        order = np.asarray(_order(epochs, self._key, jnp.int32(epoch)))
        bucket = self._bucket[np.where(order < 0, -1 - order, order)]
        order, bucket = (a[np.argsort(bucket, kind="stable")] for a in (order, bucket))
        size = self._steps * epochs.batch_size
        runs = [slice(i, i + size) for i in range(0, len(order), size)]
        shuffled = np.asarray(_shuffled(self._key, jnp.int32(epoch), len(runs)))
        segments, first = [], 0
        for run in (runs[i] for i in shuffled):
            rows = order[run]
            steps = len(rows) // epochs.batch_size
            length = self._sizes[bucket[run].max()]
            segments.append(Segment(first, steps, length, _mixed(self._key, epoch, first, rows)))
            first += steps
        return segments


def _mixed(key: Key, epoch: int, first: int, rows: np.ndarray) -> np.ndarray:
    """The rows of a segment in random order, since they are sorted by bucket."""
    order = _permutation(stream(stream(key, "rows", epoch), "segment", first), len(rows))
    return rows[np.asarray(order)]


def _shuffled_of(key: Key, epoch: Array, runs: int) -> Array:
    return jax.random.permutation(stream(key, "segments", epoch), runs)


_order = jax.jit(Epochs.order, static_argnums=0)
_shuffled = jax.jit(_shuffled_of, static_argnums=2)
_permutation = jax.jit(jax.random.permutation, static_argnums=1)
