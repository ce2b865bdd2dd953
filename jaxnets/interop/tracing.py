"""What a model does with its weights, found by following them through its jaxpr."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnets.jaxpr.walk import ELEMENTWISE, Operation, Walk
from jaxnets.layer import Layer, Params, State

SHAPING = ("broadcast_in_dim", "reshape", "squeeze", "expand_dims", "transpose", "copy")


class Usage(NamedTuple):
    """How a model uses some of its weights.

    Attributes:
      flattened: for each dense layer whose input is a flattened image or sequence, the axes that
        its rows are in order, (height, width, channels); () if the input has other features, too.
      epsilons: for each normalisation, what is added to the variance.
    """

    flattened: dict[str, tuple[int, ...]]
    epsilons: dict[str, float]


class _Value(NamedTuple):
    """What is known of an array.

    Attributes:
      shape: its shape.
      leaf: the path of the parameter that it is, possibly in another shape or dtype.
      rank: the number of axes of that parameter.
      merged: the axes that its last axis merges; None if it merges none.
      constant: its value, for a scalar constant.
      epsilon: what was added last, for the reciprocal of a standard deviation.
    """

    shape: tuple[int, ...]
    leaf: str | None = None
    rank: int = 0
    merged: tuple[int, ...] | None = None
    constant: Any = None
    epsilon: float | None = None


def usage(layer: Layer, specs: tuple[Params, State], x: Any) -> Usage:
    """How the layer uses its weights in evaluation; only traces it.

    Args:
      layer: a model.
      specs: the shapes and dtypes of its params and state.
      x: an example batch, or its shape and dtype.
    """
    result = Usage({}, {})

    def visit(operation: Operation, operands: list[_Value]) -> Sequence[_Value]:
        _record(result, operation, operands)
        known = _result(operation, operands)
        return [known._replace(shape=var.aval.shape) for var in operation.eqn.outvars]

    def constant(value: Any, aval: Any) -> _Value:
        return _Value(aval.shape, constant=value if np.ndim(value) == 0 else None)

    program = jax.make_jaxpr(lambda *args: layer.apply(*args)[0])(*specs, x)
    leaves = jax.tree.leaves_with_path((*specs, x))
    inputs = []
    for path, leaf in leaves:
        names = [str(key.key) for key in path[1:] if isinstance(key, jax.tree_util.DictKey)]
        name = "/".join(names) if path[0].idx < 2 else None
        inputs.append(_Value(leaf.shape, name, len(leaf.shape)))
    Walk(visit, constant)(program, inputs)
    return result


def _record(usage: Usage, operation: Operation, operands: list[_Value]) -> None:
    if len(operands) != 2:
        return
    for first, second in (operands, operands[::-1]):
        module, _, name = (first.leaf or "").rpartition("/")
        if name == "scale" and operation.name == "mul" and second.epsilon is not None:
            usage.epsilons[module] = second.epsilon
    x, kernel = operands
    module, _, name = (kernel.leaf or "").rpartition("/")
    is_dense = operation.name == "dot_general" and name == "kernel" and kernel.rank == 2
    if is_dense and x.merged is not None:
        usage.flattened[module] = x.merged


def _result(operation: Operation, operands: list[_Value]) -> _Value:
    """What is known of the result; the caller adds its shape."""
    name, unknown = operation.name, _Value(())
    if name == "reshape":
        [x] = operands
        new = operation.eqn.outvars[0].aval.shape
        return x._replace(merged=_merged(x, new), constant=None)
    if name == "concatenate":
        last = operation.eqn.params["dimension"] == len(operands[0].shape) - 1
        merged = next((x.merged for x in operands if x.merged is not None), None)
        return unknown._replace(merged=() if last and merged else merged)
    if name in SHAPING:
        [x, *_] = operands
        return x._replace(merged=None)
    if name not in ELEMENTWISE:
        return unknown
    if len(operands) == 1 and name in ("convert_element_type", "name", "rsqrt", "stop_gradient"):
        return operands[0]
    merged = next((x.merged for x in operands if x.merged is not None), None)
    kernel = next((x for x in operands if x.leaf and x.rank == 2), unknown)
    return _Value((), kernel.leaf, kernel.rank, merged, epsilon=_added(name, operands))


def _added(name: str, operands: list[_Value]) -> float | None:
    """The constant that an addition adds."""
    constants = [x.constant for x in operands if x.constant is not None]
    return float(constants[0]) if name == "add" and len(constants) == 1 else None


def _merged(x: _Value, new: tuple[int, ...]) -> tuple[int, ...] | None:
    """The axes of x that a reshape merges into the last one, if another order would differ."""
    if not new or not x.shape:
        return None
    if new[-1:] == x.shape[-1:]:
        return x.merged
    for start in range(len(x.shape) - 1, -1, -1):
        axes = x.shape[start:]
        if math.prod(axes) == new[-1] and x.merged is None:
            return axes if axes[-1] > 1 and math.prod(axes[:-1]) > 1 else None
    return None
