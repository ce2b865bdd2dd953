"""Floating-point operations, counted in a program's jaxpr."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr

from jaxnets.errors import LayerError
from jaxnets.jaxpr.walk import Operation, Walk


def flops(f: Callable[..., Any], *arguments: Any) -> int:
    """The floating-point operations of `f`: its matmuls and convolutions, a multiply-add being 2.

    As the field counts: elementwise operations, reductions and pooling are left out, and a
    convolution's taps on its padding are in, but not those on the zeros that a dilated input
    has, as in the gradient of a strided convolution. A scan's body counts once a step, and what
    no output depends on does not count. Where the way to compute depends on the platform, it is
    the plain one's count. Nothing is computed.

    Args:
      f: a function of arrays, such as a training step.
      arguments: what it takes; only shapes and dtypes matter.

    Raises:
      LayerError: matmuls or convolutions in a loop of unknown length, or in branches that differ.
    """
    return _count(jax.make_jaxpr(f)(*arguments), "")


def each_operation(
    jaxpr: Any,
    visit: Callable[[Operation, int], None],
    keep: Callable[[Operation], bool] = lambda operation: False,
    stack: str = "",
    times: int = 1,
) -> None:
    """Call `visit(operation, times)` for each operation: those in a scan, once for all steps.

    What no output of the program depends on is left out, as a compiler leaves it out, unless an
    operation that is to `keep` does.
    """
    made: list[_Made] = []

    def step(operation: Operation, operands: list[_Made | None]) -> list[_Made]:
        made.append(_Made(operation, [operand for operand in operands if operand is not None]))
        return made[-1:] * len(operation.eqn.outvars)

    inner = jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr
    outputs = Walk(step, lambda value, aval: None)(jaxpr, [None] * len(inner.invars), stack)
    live = _all_before([*filter(None, outputs), *(m for m in made if keep(m.operation))])
    for operation in (m.operation for m in made if m in live):
        settings = operation.eqn.params
        if operation.name == "scan":
            steps = times * settings["length"]
            each_operation(settings["jaxpr"], visit, keep, operation.stack, steps)
        else:
            visit(operation, times)


def operation_flops(operation: Operation) -> int:
    """Those of one operation, counted and refused as `flops` does."""
    if operation.name == "dot_general":
        return _dot_flops(operation.eqn)
    if operation.name == "conv_general_dilated":
        return _conv_flops(operation.eqn)
    counts = {_count(inner, operation.stack) for inner in _programs(operation.eqn)}
    if not any(counts):
        return 0
    if operation.name == "cond" and len(counts) == 1:
        return counts.pop()
    why = "has branches that differ" if operation.name == "cond" else "runs for an unknown time"
    raise LayerError(
        f"flops expects matmuls whose number is known before they run, but the {operation.name} at "
        f"{operation.source} {why}; use jax.lax.scan, or a fori_loop with Python numbers as bounds"
    )


@dataclass(eq=False)
class _Made:
    """What an operation gives, and what that was made of."""

    operation: Operation
    of: "list[_Made]"


def _all_before(made: list[_Made]) -> set[_Made]:
    """These and all that they depend on."""
    found, waiting = set(), list(made)
    while waiting:
        if (one := waiting.pop()) not in found:
            found.add(one)
            waiting += one.of
    return found


def _count(jaxpr: Any, stack: str) -> int:
    total = 0

    def add(operation: Operation, times: int) -> None:
        nonlocal total
        total += times * operation_flops(operation)

    each_operation(jaxpr, add, stack=stack)
    return total


def _dot_flops(eqn: Any) -> int:
    (contracted, _), _ = eqn.params["dimension_numbers"]
    x, y = eqn.invars[0].aval, eqn.outvars[0].aval
    return 2 * math.prod(y.shape) * math.prod(x.shape[axis] for axis in contracted)


def _conv_flops(eqn: Any) -> int:
    """2 x batch x features x channels of the kernel x the taps that meet a number, by axis."""
    kernel, y, settings = eqn.invars[1].aval, eqn.outvars[0].aval, eqn.params
    _, (_, channels, *taps), (batch, features, *space) = settings["dimension_numbers"]
    total = 2 * y.shape[batch] * y.shape[features] * kernel.shape[channels]
    axes = (settings[name] for name in ("window_strides", "padding", "lhs_dilation"))
    for tap, out, stride, (before, _), hole, dilation in zip(
        taps, space, *axes, settings["rhs_dilation"], strict=True
    ):
        positions = np.arange(y.shape[out])[:, None] * stride
        read = positions + np.arange(kernel.shape[tap])[None] * dilation - before
        total *= int((read % hole == 0).sum())
    return total


def _programs(eqn: Any) -> Iterator[Any]:
    """The programs that an operation runs: a loop's body, a branch's sides, ..."""
    for leaf in jax.tree.leaves(list(eqn.params.values())):
        if isinstance(leaf, ClosedJaxpr | Jaxpr):
            yield leaf
