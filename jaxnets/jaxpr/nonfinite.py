"""Where the first NaN or infinity of a computation comes from."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.jaxpr.walk import Operation, Walk, compute

NOBODY = sys.maxsize  # the number of a culprit that there is none of: after every other


class Culprit(NamedTuple):
    """The operation that made the first non-finite number.

    Attributes:
      path: that of its layer, as in "block/fc1", and "" outside of any, as in a loss or an
        optimizer; of an input, as in "arguments[0]/fc1/kernel".
      operation: the JAX primitive, or "input" where an argument was not finite to begin with.
      backward: whether it belongs to the backward pass alone.
      source: the line that asked for it, outside of JAX: "file.py:12:8 (function)".
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
    """The first operation whose NaN or infinity reaches an output of `f`; None if none does.

    `f` is computed anew, one operation after another, as on this backend: slow, and for after the
    fact. Of a training step it is `first_nonfinite(train_step, train_state, batch)`. Blamed is
    the first operation that made NaN of numbers, or infinity of finite ones. What was masked out,
    as by `jnp.where`, is not blamed, nor is a constant infinity. A loop is one operation.
    """
    finder = _Finder()
    leaves, paths = jax.tree.leaves(arguments), _paths(arguments)
    inputs = [finder.input(x, path) for x, path in zip(leaves, paths, strict=True)]
    walk = Walk(finder.visit, lambda value, aval: _Value(value), jax.default_backend())
    outputs = walk(jax.make_jaxpr(f)(*arguments), inputs)
    guilty = {value.culprit for value in outputs if value.culprit != NOBODY}
    # An input may be infinite and mean it, as the best loss so far: anything else goes first.
    made = [i for i in guilty if finder.culprits[i].operation != "input"]
    if not guilty:
        return None
    first = min(made or guilty)
    return finder.culprits[first]._replace(backward=finder.is_backward(first, outputs))


@dataclass(eq=False)
class _Value:
    """An array and, if it is not finite, its culprit's number and whether by the way back."""

    array: Any
    culprit: int = NOBODY
    backward: bool = False
    used: bool = False


class _Finder:
    """Computes, and remembers every culprit and every value that one has spoilt."""

    def __init__(self):
        self.culprits: list[Culprit] = []
        self.bad: list[_Value] = []

    def input(self, x: Any, path: str) -> _Value:
        if _is_finite(x):
            return _Value(x)
        return self.remember(_Value(x, self.blame(Culprit(path, "input", False, ""))))

    def visit(self, operation: Operation, operands: list[_Value]) -> Sequence[_Value]:
        for operand in operands:
            operand.used = True
        arrays = [operand.array for operand in operands]
        source = min(operands, key=lambda operand: operand.culprit, default=_Value(None))
        finite = all(map(_is_finite, arrays))

        def made(array: Any) -> _Value:
            if _is_finite(array):
                return _Value(array)
            if source.culprit != NOBODY:
                backward = operation.backward or source.backward
                return self.remember(_Value(array, source.culprit, backward))
            if not finite and not jnp.isnan(array).any():
                return _Value(array)  # an infinity that a constant put there
            place = (operation.path, operation.name, operation.backward, operation.source)
            culprit = self.blame(Culprit(*place))
            return self.remember(_Value(array, culprit, operation.backward))

        return [made(array) for array in compute(operation, arrays)]

    def remember(self, value: _Value) -> _Value:
        self.bad.append(value)
        return value

    def blame(self, culprit: Culprit) -> int:
        self.culprits.append(culprit)
        return len(self.culprits) - 1

    def is_backward(self, number: int, outputs: list[_Value]) -> bool:
        """Whether nothing but the way back met its values.

        A derivative's factor, such as 1 / sqrt(x), is computed on the way there; but its values
        end in operations of the way back. Those of the forward pass end in its result, which is
        an output of the program or, in a mere gradient, used by nobody.
        """
        mine = [value for value in self.bad if value.culprit == number and not value.backward]
        return not any(value in outputs or not value.used for value in mine)


def _is_finite(x: Any) -> bool:
    inexact = jnp.issubdtype(jnp.result_type(x), jnp.inexact)
    return not inexact or bool(jnp.isfinite(x).all())


def _paths(arguments: tuple) -> list[str]:
    named = {f"arguments[{i}]": argument for i, argument in enumerate(arguments)}
    leaves = jax.tree.leaves_with_path(named)
    return [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
