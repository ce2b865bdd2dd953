"""Finds the operation that produced the first NaN or infinity of a computation."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.jaxpr.walk import Operation, Walk, compute

NO_CULPRIT = sys.maxsize  # larger than the index of any culprit


class Culprit(NamedTuple):
    """The operation that produced the first non-finite number.

    Attributes:
      path: the path of its layer, as in "block/fc1", and "" outside any layer, as in a loss or an
        optimizer; for an input, its path, as in "arguments[0]/fc1/kernel".
      operation: the JAX primitive, or "input" if an argument was not finite.
      backward: whether it belongs to the backward pass only.
      source: the source line, outside JAX: "file.py:12:8 (function)".
    """

    path: str
    operation: str
    backward: bool
    source: str

    def __str__(self) -> str:
        where = f" of layer {self.path!r}" if self.path else ""
        where += ", in the backward pass" if self.backward else ""
        return f"{self.operation}{where}" + (f" ({self.source})" if self.source else "")


def first_nonfinite(f: Callable[..., Any], *arguments: Any) -> Culprit | None:
    """The first operation whose NaN or infinity reaches an output of `f`; None if all are finite.

    `f` is evaluated again, one operation at a time, on the default backend, which is slow. For a
    training step: `first_nonfinite(train_step, train_state, batch)`. Reports the first operation
    that produced NaN from values without NaN, or infinity from finite values. Values that are
    masked out, as by `jnp.where`, and constant infinities are ignored. A loop is one operation.
    """
    interpreter = _Interpreter()
    leaves, paths = jax.tree.leaves(arguments), _paths(arguments)
    inputs = [interpreter.input(x, path) for x, path in zip(leaves, paths, strict=True)]
    walk = Walk(interpreter.visit, lambda value, aval: _Value(value), jax.default_backend())
    outputs = walk(jax.make_jaxpr(f)(*arguments), inputs)
    culprits = {value.culprit for value in outputs if value.culprit != NO_CULPRIT}
    # Inputs last: one may be infinite on purpose, such as the initial best loss.
    operations = [i for i in culprits if interpreter.culprits[i].operation != "input"]
    if not culprits:
        return None
    first = min(operations or culprits)
    return interpreter.culprits[first]._replace(backward=interpreter.is_backward(first, outputs))


@dataclass(eq=False)
class _Value:
    """An array and, if it is not finite, its culprit and whether that is in the backward pass."""

    array: Any
    culprit: int = NO_CULPRIT
    backward: bool = False
    used: bool = False


class _Interpreter:
    """Evaluates operations, and records every culprit and every value with one."""

    def __init__(self):
        self.culprits: list[Culprit] = []
        self.nonfinite: list[_Value] = []

    def input(self, x: Any, path: str) -> _Value:
        if _is_finite(x):
            return _Value(x)
        return self.record(_Value(x, self.add_culprit(Culprit(path, "input", False, ""))))

    def visit(self, operation: Operation, operands: list[_Value]) -> Sequence[_Value]:
        for operand in operands:
            operand.used = True
        arrays = [operand.array for operand in operands]
        source = min(operands, key=lambda operand: operand.culprit, default=_Value(None))
        finite = all(map(_is_finite, arrays))

        def result(array: Any) -> _Value:
            if _is_finite(array):
                return _Value(array)
            if source.culprit != NO_CULPRIT:
                backward = operation.backward or source.backward
                return self.record(_Value(array, source.culprit, backward))
            if not finite and not jnp.isnan(array).any():
                return _Value(array)  # an infinity from a constant
            place = (operation.path, operation.name, operation.backward, operation.source)
            culprit = self.add_culprit(Culprit(*place))
            return self.record(_Value(array, culprit, operation.backward))

        return [result(array) for array in compute(operation, arrays)]

    def record(self, value: _Value) -> _Value:
        self.nonfinite.append(value)
        return value

    def add_culprit(self, culprit: Culprit) -> int:
        self.culprits.append(culprit)
        return len(self.culprits) - 1

    def is_backward(self, index: int, outputs: list[_Value]) -> bool:
        """Whether the culprit's values are used only by the backward pass.

        A factor of a derivative, such as 1 / sqrt(x), is computed in the forward pass, but only
        operations of the backward pass use it. All other forward values flow into the result of the
        forward pass: an output of `f`, or unused if `f` is a gradient.
        """
        forward = [v for v in self.nonfinite if v.culprit == index and not v.backward]
        return not any(value in outputs or not value.used for value in forward)


def _is_finite(x: Any) -> bool:
    inexact = jnp.issubdtype(jnp.result_type(x), jnp.inexact)
    return not inexact or bool(_all_finite(x))


@jax.jit  # one program per shape instead of two
def _all_finite(x: Any) -> Any:
    return jnp.isfinite(x).all()


def _paths(arguments: tuple) -> list[str]:
    named = {f"arguments[{i}]": argument for i, argument in enumerate(arguments)}
    leaves = jax.tree.leaves_with_path(named)
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
