"""How long a chunk may be."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import jax
import numpy as np
from jax.experimental import multihost_utils

CAPACITY = 4096  # steps a chunk can hold


@dataclass
class Pace:
    """How fast steps go, and so how many of them fill a chunk.

    Attributes:
      chunk_seconds: how long the device should work between two looks of the host.
      batch_size: examples a step.
      length: steps in the next chunk; at first few, to learn how long one takes.
      seconds: spent training so far.
      samples_per_second: over the last chunk.
    """

    chunk_seconds: float
    batch_size: int
    length: int = 16
    seconds: float = 0.0
    samples_per_second: float = 0.0

    @contextmanager
    def timed(self, steps: int) -> Iterator[None]:
        """Time a chunk of `steps` steps, and set the length of the next."""
        began = time.perf_counter()
        yield
        elapsed = time.perf_counter() - began
        self.seconds += elapsed
        self.samples_per_second = steps * self.batch_size / elapsed
        self.length = _agreed(min(max(1, int(self.chunk_seconds * steps / elapsed)), CAPACITY))


def _agreed(length: int) -> int:
    """The first process's number, where there are several: their chunks must be the same."""
    if not jax.distributed.is_initialized():
        return length
    return int(multihost_utils.broadcast_one_to_all(np.int32(length)))
