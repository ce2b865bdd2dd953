"""The receptive field of the entries of an array along one axis of the input."""

from collections.abc import Sequence
from typing import NamedTuple


class Field(NamedTuple):
    """The receptive field of an array's entries along one axis of the input.

    The entry at index i depends on `size` positions, the first of which is start + sum(jumps * i).

    Attributes:
      jumps: the distance between the fields of adjacent entries, for each axis of the array; None
        if it is not constant, and `size` then covers the fields of all entries along this axis.
      start: the first position that entry 0 depends on; negative in the padding.
      size: the number of positions from the first to the last.
      extent: the length of the input's axis.
    """

    jumps: tuple[int | None, ...]
    start: int
    size: int
    extent: int

    @classmethod
    def along(cls, axis: int, shape: tuple[int, ...]) -> "Field":
        """The field of the input itself: each entry depends on its own position."""
        return cls(tuple(int(i == axis) for i in range(len(shape))), 0, 1, shape[axis])

    @property
    def is_constant(self) -> bool:
        """Whether all entries have the same field."""
        return not any(self.jumps) and None not in self.jumps

    @property
    def is_full(self) -> bool:
        """Whether every entry depends on the whole input."""
        return self.is_constant and self.start <= 0 and self.start + self.size >= self.extent

    def after_window(
        self, axis: int, taps: int, stride: int, dilation: int, before: int
    ) -> "Field":
        """The field after a sliding window along an axis that is padded by `before`."""
        jump = self.jumps[axis]
        if jump is None or jump < 0:
            raise ValueError("a window over positions out of order")
        jumps = (*self.jumps[:axis], jump * stride, *self.jumps[axis + 1 :])
        span = (taps - 1) * dilation * jump
        return self._replace(jumps=jumps, start=self.start - before * jump, size=self.size + span)

    def union_over(self, axes: Sequence[int], shape: tuple[int, ...]) -> "Field":
        """The union of the fields of all entries along these axes."""
        start, size = self.start, self.size
        for axis in axes:
            span = (shape[axis] - 1) * (self.jumps[axis] or 0)
            start, size = start + min(span, 0), size + abs(span)
        return self._replace(start=start, size=size)

    def after_reduction(self, axes: Sequence[int], shape: tuple[int, ...]) -> "Field":
        """The field after a reduction over these axes."""
        jumps = tuple(jump for axis, jump in enumerate(self.jumps) if axis not in axes)
        return self.union_over(axes, shape)._replace(jumps=jumps)
