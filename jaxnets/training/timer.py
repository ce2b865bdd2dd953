"""Chooses the number of steps per chunk."""

from dataclasses import dataclass

from jaxnets.training.chunk import CAPACITY


@dataclass
class ChunkTimer:
    """Sets the number of steps per chunk from the time that the last chunk took.

    Attributes:
      chunk_seconds: how long the device should work before control returns to Python.
      length: steps in the next chunk; few at first, to measure the time per step.
    """

    chunk_seconds: float
    length: int = 16

    def record(self, steps: int, seconds: float) -> None:
        """Set the length of the next chunk after one of `steps` steps that took `seconds`."""
        length = int(self.chunk_seconds * steps / max(seconds, 1e-9))
        self.length = min(max(1, length), CAPACITY)
