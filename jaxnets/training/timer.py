"""How long a chunk may be."""

from dataclasses import dataclass

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxnets.training.chunk import CAPACITY


@dataclass
class ChunkTimer:
    """How many steps fill a chunk, from how long the last one took.

    Attributes:
      chunk_seconds: how long the device should work before control returns to Python.
      length: steps in the next chunk; at first few, to learn how long one takes.
    """

    chunk_seconds: float
    length: int = 16

    def record(self, steps: int, seconds: float) -> None:
        """Set the length of the next chunk after one of `steps` steps that took `seconds`."""
        length = int(self.chunk_seconds * steps / max(seconds, 1e-9))
        self.length = _agreed(min(max(1, length), CAPACITY))


def _agreed(length: int) -> int:
    """The first process's number, where there are several: their chunks must be the same."""
    if not jax.distributed.is_initialized():
        return length
    return int(multihost_utils.broadcast_one_to_all(np.int32(length)))
