"""How the part of an input that an array's entries depend on passes through each operation."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jaxnets.errors import LayerError
from jaxnets.jaxpr.walk import ELEMENTWISE, Operation


class Field(NamedTuple):
    """Along one axis of the input, what an array's entries depend on.

    The entry at index i depends on positions start + sum(jumps * i) and up, `size` of them.

    Attributes:
      jumps: how far a step along each axis of the array moves it; None where it is not so regular,
        and `size` then covers all that the entries along this axis depend on.
      start: the first position that entry 0 depends on; negative in the padding.
      size: from the first position to the last.
      extent: how many positions the input has.
    """

    jumps: tuple[int | None, ...]
    start: int
    size: int
    extent: int

    @classmethod
    def along(cls, axis: int, shape: tuple[int, ...]) -> "Field":
        """That of the input itself: each entry depends on its own position."""
        return cls(tuple(int(i == axis) for i in range(len(shape))), 0, 1, shape[axis])

    @property
    def is_constant(self) -> bool:
        """Whether all entries depend on the same positions."""
        return not any(self.jumps) and None not in self.jumps

    @property
    def is_everything(self) -> bool:
        """Whether every entry depends on the whole input."""
        return self.is_constant and self.start <= 0 and self.start + self.size >= self.extent

    def windowed(self, axis: int, taps: int, stride: int, dilation: int, before: int) -> "Field":
        """After a window has passed along an axis that is padded by `before`."""
        jump = self.jumps[axis]
        if jump is None or jump < 0:
            raise ValueError("a window over positions out of order")
        jumps = (*self.jumps[:axis], jump * stride, *self.jumps[axis + 1 :])
        reach = (taps - 1) * dilation * jump
        return self._replace(jumps=jumps, start=self.start - before * jump, size=self.size + reach)

    def spread(self, axes: Sequence[int], shape: tuple[int, ...]) -> "Field":
        """Over all the entries along these axes together, for each of the others."""
        start, size = self.start, self.size
        for axis in axes:
            reach = (shape[axis] - 1) * (self.jumps[axis] or 0)
            start, size = start + min(reach, 0), size + abs(reach)
        return self._replace(start=start, size=size)

    def reduced(self, axes: Sequence[int], shape: tuple[int, ...]) -> "Field":
        """After these axes are summed over."""
        jumps = tuple(jump for axis, jump in enumerate(self.jumps) if axis not in axes)
        return self.spread(axes, shape)._replace(jumps=jumps)


def field_of(operation: Operation, fields: Sequence[Field | None]) -> Field | None:
    """The field of what an operation gives, by those of its operands; None for no dependence.

    Raises:
      LayerError: an operation without a rule, or entries at different places that are combined.
    """
    known = [field for field in fields if field is not None]
    if not known or not operation.eqn.outvars:
        return None
    shape = operation.eqn.outvars[0].aval.shape
    if all(field.is_constant for field in known):
        return _join([field._replace(jumps=(0,) * len(shape)) for field in known])
    rule = _elementwise if operation.name in ELEMENTWISE else RULES.get(operation.name)
    try:
        if rule is None:
            raise ValueError("an operation without a rule")
        return rule(operation.eqn, fields)
    except ValueError as error:
        where = operation.path or "the model itself"
        raise LayerError(
            f"receptive_field cannot follow rows and columns through {operation.name} in {where}, "
            f"at {operation.source}: {error}; ask for the part of the model before it"
        ) from error


def _join(fields: Sequence[Field]) -> Field:
    """Of entries that depend on what either of several depends on."""
    if everything := [field for field in fields if field.is_everything]:
        return everything[0]
    if len({field.jumps for field in fields}) > 1:
        raise ValueError("positions that do not line up")
    start = min(field.start for field in fields)
    end = max(field.start + field.size for field in fields)
    return fields[0]._replace(start=start, size=end - start)


def _elementwise(eqn: Any, fields: Sequence[Field | None]) -> Field:
    rank = len(eqn.outvars[0].aval.shape)
    whole = [f if len(f.jumps) == rank else f._replace(jumps=(0,) * rank) for f in fields if f]
    return _join(whole)


def _only(fields: Sequence[Field | None]) -> Field:
    """The first operand's, which alone may depend on the input."""
    first, *others = fields
    if first is None or any(others):
        raise ValueError("a kernel, index or start that depends on the input")
    return first


def _convolution(eqn: Any, fields: Sequence[Field | None]) -> Field:
    field, settings = _only(fields), eqn.params
    shape, kernel = (var.aval.shape for var in eqn.invars)
    (batch, features, *space), (_, _, *taps), out = settings["dimension_numbers"]
    if any(hole != 1 for hole in settings["lhs_dilation"]):
        raise ValueError("an input spread out, as by a transposed convolution")
    names = ("window_strides", "rhs_dilation", "padding")
    for axis, tap, stride, dilation, (before, _) in zip(
        space, taps, *(settings[name] for name in names), strict=True
    ):
        field = field.windowed(axis, kernel[tap], stride, dilation, before)
    field = field.spread([features], shape)
    jumps: list[int | None] = [0] * len(shape)
    for source, target in zip((batch, *space), (out[0], *out[2:]), strict=True):
        jumps[target] = field.jumps[source]
    return field._replace(jumps=tuple(jumps))


def _window(eqn: Any, fields: Sequence[Field | None]) -> Field:
    field, settings = _only(fields), eqn.params
    if any(hole != 1 for hole in settings["base_dilation"]):
        raise ValueError("an input spread out")
    names = ("window_dimensions", "window_strides", "window_dilation", "padding")
    windows = zip(*(settings[name] for name in names), strict=True)
    for axis, (taps, stride, dilation, (before, _)) in enumerate(windows):
        if (taps, stride, before) != (1, 1, 0):
            field = field.windowed(axis, taps, stride, dilation, before)
    return field


def _reduction(eqn: Any, fields: Sequence[Field | None]) -> Field:
    return _only(fields).reduced(eqn.params["axes"], eqn.invars[0].aval.shape)


def _matmul(eqn: Any, fields: Sequence[Field | None]) -> Field:
    contracted, batches = eqn.params["dimension_numbers"]
    free = []
    for field, var, summed, batch in zip(fields, eqn.invars, contracted, batches, strict=True):
        rank = len(var.aval.shape)
        jumps = (0,) * rank if field is None else field.jumps
        rest = [axis for axis in range(rank) if axis not in (*summed, *batch)]
        free.append(([jumps[axis] for axis in batch], [jumps[axis] for axis in rest]))
    made = []
    for side, (field, var, summed) in enumerate(zip(fields, eqn.invars, contracted, strict=True)):
        if field is not None:
            mine = [[0] * len(part) for _, part in free]
            mine[side] = free[side][1]
            jumps = (*free[side][0], *mine[0], *mine[1])
            made.append(field.spread(summed, var.aval.shape)._replace(jumps=jumps))
    return _join(made)


def _broadcast(eqn: Any, fields: Sequence[Field | None]) -> Field:
    field, shape = _only(fields), eqn.invars[0].aval.shape
    jumps: list[int | None] = [0] * len(eqn.params["shape"])
    for axis, target in enumerate(eqn.params["broadcast_dimensions"]):
        jumps[target] = field.jumps[axis] if shape[axis] > 1 else 0
    return field._replace(jumps=tuple(jumps))


def _reshape(eqn: Any, fields: Sequence[Field | None]) -> Field:
    """Axes split and merged; a merged one is regular only where its parts' jumps agree."""
    field, old, new = _only(fields), eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
    jumps, lost = [], []
    for axes, sizes in _groups(old, new):
        inner = next((field.jumps[axis] for axis in reversed(axes) if old[axis] > 1), 0)
        steps = [math.prod(old[i] for i in axes if i > axis) for axis in axes]
        if inner is not None and all(
            old[axis] == 1 or field.jumps[axis] == inner * step
            for axis, step in zip(axes, steps, strict=True)
        ):
            steps = [math.prod(sizes[i + 1 :]) for i in range(len(sizes))]
            jumps += [inner * step if n > 1 else 0 for n, step in zip(sizes, steps, strict=True)]
        else:
            jumps += [None if size > 1 else 0 for size in sizes]
            lost += axes
    return field.spread(lost, old)._replace(jumps=tuple(jumps))


def _groups(old: tuple[int, ...], new: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """The smallest runs of axes of `old`, and of sizes in `new`, of the same product."""
    groups, axes, sizes, old_axes, new_sizes = [], [], [], list(range(len(old))), list(new)
    while old_axes or new_sizes:
        have, want = math.prod(old[axis] for axis in axes), math.prod(sizes)
        if old_axes and (have <= want or not new_sizes):
            axes.append(old_axes.pop(0))
        else:
            sizes.append(new_sizes.pop(0))
        if math.prod(old[axis] for axis in axes) == math.prod(sizes) and axes and sizes:
            groups.append((axes, sizes))
            axes, sizes = [], []
    if axes or sizes:
        groups.append((axes, sizes))
    return groups


def _transpose(eqn: Any, fields: Sequence[Field | None]) -> Field:
    field = _only(fields)
    return field._replace(jumps=tuple(field.jumps[axis] for axis in eqn.params["permutation"]))


def _squeeze(eqn: Any, fields: Sequence[Field | None]) -> Field:
    return _only(fields).reduced(eqn.params["dimensions"], eqn.invars[0].aval.shape)


def _concatenate(eqn: Any, fields: Sequence[Field | None]) -> Field:
    known, axis = [field for field in fields if field is not None], eqn.params["dimension"]
    if any(field.jumps[axis] != 0 for field in known):
        raise ValueError("rows or columns put end to end")
    return _join(known)


def _pad(eqn: Any, fields: Sequence[Field | None]) -> Field:
    field = _only(fields)
    for axis, (before, _, hole) in enumerate(eqn.params["padding_config"]):
        if hole:
            raise ValueError("an input spread out")
        if before:
            field = field.windowed(axis, 1, 1, 1, before)
    return field


def _slice(eqn: Any, fields: Sequence[Field | None]) -> Field:
    field, settings = _only(fields), eqn.params
    strides = settings["strides"] or (1,) * len(field.jumps)
    for axis, (start, stride) in enumerate(zip(settings["start_indices"], strides, strict=True)):
        if (start, stride) != (0, 1):
            field = field.windowed(axis, 1, stride, 1, -start)
    return field


RULES: dict[str, Callable[[Any, Sequence[Field | None]], Field]] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "conv_general_dilated": _convolution,
    "dot_general": _matmul,
    "pad": _pad,
    "reshape": _reshape,
    "slice": _slice,
    "squeeze": _squeeze,
    "transpose": _transpose,
    **dict.fromkeys(("reduce_window", "reduce_window_max", "reduce_window_min"), _window),
    "reduce_window_sum": _window,
    **dict.fromkeys(("reduce_sum", "reduce_max", "reduce_min", "reduce_prod"), _reduction),
    **dict.fromkeys(("reduce_and", "reduce_or", "argmax", "argmin"), _reduction),
}
