"""Rules that propagate receptive fields through the operations of a jaxpr."""

import math
from collections.abc import Callable, Sequence
from typing import Any

from jaxnets.errors import LayerError
from jaxnets.jaxpr.field import Field
from jaxnets.jaxpr.walk import ELEMENTWISE, Operation


def field_of(operation: Operation, fields: Sequence[Field | None]) -> Field | None:
    """The field of an operation's result from those of its operands; None for no dependence.

    Raises:
      LayerError: an operation without a rule, or one that combines entries out of order.
    """
    dependent = [field for field in fields if field is not None]
    if not dependent or not operation.eqn.outvars:
        return None
    shape = operation.eqn.outvars[0].aval.shape
    if all(field.is_constant for field in dependent):
        return _union([field._replace(jumps=(0,) * len(shape)) for field in dependent])
    rule = _elementwise if operation.name in ELEMENTWISE else RULES.get(operation.name)
    try:
        if rule is None:
            raise ValueError("an operation without a rule")
        return rule(operation.eqn, fields)
    except ValueError as error:
        where = operation.path or "the model itself"
        raise LayerError(
            f"receptive_field cannot follow rows and columns through {operation.name} in {where}, "
            f"at {operation.source}: {error}; pass the part of the model before it"
        ) from error


def _union(fields: Sequence[Field]) -> Field:
    if full := [field for field in fields if field.is_full]:
        return full[0]
    if len({field.jumps for field in fields}) > 1:
        raise ValueError("positions that are not aligned")
    start = min(field.start for field in fields)
    end = max(field.start + field.size for field in fields)
    return fields[0]._replace(start=start, size=end - start)


def _elementwise(eqn: Any, fields: Sequence[Field | None]) -> Field:
    rank = len(eqn.outvars[0].aval.shape)
    return _union(
        [f if len(f.jumps) == rank else f._replace(jumps=(0,) * rank) for f in fields if f]
    )


def _only(fields: Sequence[Field | None]) -> Field:
    """The first operand's field; raises if another operand depends on the input."""
    first, *others = fields
    if first is None or any(others):
        raise ValueError("a kernel, index or start that depends on the input")
    return first


def _convolution(eqn: Any, fields: Sequence[Field | None]) -> Field:
    field, options = _only(fields), eqn.params
    shape, kernel = (var.aval.shape for var in eqn.invars)
    (batch, features, *space), (_, _, *taps), out = options["dimension_numbers"]
    if any(dilation != 1 for dilation in options["lhs_dilation"]):
        raise ValueError("a dilated input, as in a transposed convolution")
    names = ("window_strides", "rhs_dilation", "padding")
    for axis, tap, stride, dilation, (before, _) in zip(
        space, taps, *(options[name] for name in names), strict=True
    ):
        field = field.after_window(axis, kernel[tap], stride, dilation, before)
    field = field.union_over([features], shape)
    jumps: list[int | None] = [0] * len(shape)
    for source, target in zip((batch, *space), (out[0], *out[2:]), strict=True):
        jumps[target] = field.jumps[source]
    return field._replace(jumps=tuple(jumps))


def _window(eqn: Any, fields: Sequence[Field | None]) -> Field:
    field, options = _only(fields), eqn.params
    if any(dilation != 1 for dilation in options["base_dilation"]):
        raise ValueError("a dilated input")
    names = ("window_dimensions", "window_strides", "window_dilation", "padding")
    windows = zip(*(options[name] for name in names), strict=True)
    for axis, (taps, stride, dilation, (before, _)) in enumerate(windows):
        if (taps, stride, before) != (1, 1, 0):
            field = field.after_window(axis, taps, stride, dilation, before)
    return field


def _reduction(eqn: Any, fields: Sequence[Field | None]) -> Field:
    return _only(fields).after_reduction(eqn.params["axes"], eqn.invars[0].aval.shape)


def _matmul(eqn: Any, fields: Sequence[Field | None]) -> Field:
    contracted, batches = eqn.params["dimension_numbers"]
    free = []
    for field, var, summed, batch in zip(fields, eqn.invars, contracted, batches, strict=True):
        rank = len(var.aval.shape)
        jumps = (0,) * rank if field is None else field.jumps
        rest = [axis for axis in range(rank) if axis not in (*summed, *batch)]
        free.append(([jumps[axis] for axis in batch], [jumps[axis] for axis in rest]))
    results = []
    for side, (field, var, summed) in enumerate(zip(fields, eqn.invars, contracted, strict=True)):
        if field is not None:
            sides = [[0] * len(part) for _, part in free]
            sides[side] = free[side][1]
            jumps = (*free[side][0], *sides[0], *sides[1])
            results.append(field.union_over(summed, var.aval.shape)._replace(jumps=jumps))
    return _union(results)


def _broadcast(eqn: Any, fields: Sequence[Field | None]) -> Field:
    field, shape = _only(fields), eqn.invars[0].aval.shape
    jumps: list[int | None] = [0] * len(eqn.params["shape"])
    for axis, target in enumerate(eqn.params["broadcast_dimensions"]):
        jumps[target] = field.jumps[axis] if shape[axis] > 1 else 0
    return field._replace(jumps=tuple(jumps))


def _reshape(eqn: Any, fields: Sequence[Field | None]) -> Field:
    """Splits and merges axes; the jump of a merged axis is constant if those of its parts agree."""
    field, old, new = _only(fields), eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
    jumps, irregular = [], []
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
            irregular += axes
    return field.union_over(irregular, old)._replace(jumps=tuple(jumps))


def _groups(old: tuple[int, ...], new: tuple[int, ...]) -> list[tuple[list[int], list[int]]]:
    """The smallest runs of axes of `old`, and of sizes in `new`, with equal products."""

    def product(axes: list[int]) -> int:
        return math.prod(old[axis] for axis in axes)

    groups, axes, sizes, old_axes, new_sizes = [], [], [], list(range(len(old))), list(new)
    while old_axes or new_sizes:
        if old_axes and (product(axes) <= math.prod(sizes) or not new_sizes):
            axes.append(old_axes.pop(0))
        else:
            sizes.append(new_sizes.pop(0))
        if product(axes) == math.prod(sizes) and axes and sizes:
            groups.append((axes, sizes))
            axes, sizes = [], []
    return [*groups, (axes, sizes)] if axes or sizes else groups


def _transpose(eqn: Any, fields: Sequence[Field | None]) -> Field:
    field = _only(fields)
    return field._replace(jumps=tuple(field.jumps[axis] for axis in eqn.params["permutation"]))


def _squeeze(eqn: Any, fields: Sequence[Field | None]) -> Field:
    return _only(fields).after_reduction(eqn.params["dimensions"], eqn.invars[0].aval.shape)


def _concatenate(eqn: Any, fields: Sequence[Field | None]) -> Field:
    dependent, axis = [field for field in fields if field is not None], eqn.params["dimension"]
    if any(field.jumps[axis] != 0 for field in dependent):
        raise ValueError("concatenated rows or columns")
    return _union(dependent)


def _pad(eqn: Any, fields: Sequence[Field | None]) -> Field:
    field = _only(fields)
    for axis, (before, _, interior) in enumerate(eqn.params["padding_config"]):
        if interior:
            raise ValueError("a dilated input")
        if before:
            field = field.after_window(axis, 1, 1, 1, before)
    return field


def _slice(eqn: Any, fields: Sequence[Field | None]) -> Field:
    field, options = _only(fields), eqn.params
    strides = options["strides"] or (1,) * len(field.jumps)
    for axis, (start, stride) in enumerate(zip(options["start_indices"], strides, strict=True)):
        if (start, stride) != (0, 1):
            field = field.after_window(axis, 1, stride, 1, -start)
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
