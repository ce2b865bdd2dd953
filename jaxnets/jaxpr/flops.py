"""Counts floating-point operations in a jaxpr."""

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
    """The floating-point operations of `f`: its matmuls and convolutions, 2 per multiply-add.

    As usual, elementwise operations, reductions and pooling are not counted. Taps of a convolution
    on padding are counted; taps on the zeros of a dilated input, as in the gradient of a strided
    convolution, are not. The body of a scan is counted once per step. Operations that no output
    depends on are not counted. If the implementation depends on the platform, the plain one is
    counted. Only traces `f`.

    Args:
      f: a function of arrays, such as a training step.
      arguments: its arguments; only shapes and dtypes matter.

    Raises:
      LayerError: matmuls or convolutions in a loop of unknown length, or in branches with
        different counts.
    """
    return _count(jax.make_jaxpr(f)(*arguments), "")


def each_operation(
    jaxpr: Any,
    visit: Callable[[Operation, int], None],
    keep: Callable[[Operation], bool] = lambda operation: False,
    stack: str = "",
    times: int = 1,
) -> None:
    """Call `visit(operation, times)` for each operation; for those in a scan, once for all steps.

    Skips dead code, which a compiler removes: operations that neither an output of the program nor
    an operation for which `keep` is true depends on.
    """
    nodes: list[_Node] = []

    def step(operation: Operation, operands: list[_Node | None]) -> list[_Node]:
        nodes.append(_Node(operation, [operand for operand in operands if operand is not None]))
        return nodes[-1:] * len(operation.eqn.outvars)

    inner = jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr
    outputs = Walk(step, lambda value, aval: None)(jaxpr, [None] * len(inner.invars), stack)
    live = _ancestors([*filter(None, outputs), *(n for n in nodes if keep(n.operation))])
    for operation in (node.operation for node in nodes if node in live):
        options = operation.eqn.params
        if operation.name == "scan":
            steps = times * options["length"]
            each_operation(options["jaxpr"], visit, keep, operation.stack, steps)
        else:
            visit(operation, times)


def operation_flops(operation: Operation) -> int:
    """The floating-point operations of one operation; counts and raises like `flops`."""
    if operation.name == "dot_general":
        return _dot_flops(operation.eqn)
    if operation.name == "conv_general_dilated":
        return _conv_flops(operation.eqn)
    counts = {_count(inner, operation.stack) for inner in _programs(operation.eqn)}
    if not any(counts):
        return 0
    if operation.name == "cond" and len(counts) == 1:
        return counts.pop()
    reason, cure = "has an unknown length", "use jax.lax.scan, or a fori_loop with Python bounds"
    if operation.name == "cond":
        reason, cure = "has branches that differ", "count each branch by itself"
    raise LayerError(
        f"flops expects a number of matmuls that is known before they run, but the "
        f"{operation.name} at {operation.source} {reason}; {cure}"
    )


@dataclass(eq=False)
class _Node:
    """An operation, and the nodes of its operands."""

    operation: Operation
    operands: "list[_Node]"


def _ancestors(nodes: list[_Node]) -> set[_Node]:
    """The nodes and everything that they depend on."""
    visited, pending = set(), list(nodes)
    while pending:
        if (node := pending.pop()) not in visited:
            visited.add(node)
            pending += node.operands
    return visited


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
    """2 x batch x features x kernel channels x the product over axes of the taps on the input."""
    kernel, y, options = eqn.invars[1].aval, eqn.outvars[0].aval, eqn.params
    _, (_, channels, *taps), (batch, features, *space) = options["dimension_numbers"]
    total = 2 * y.shape[batch] * y.shape[features] * kernel.shape[channels]
    axes = (options[name] for name in ("window_strides", "padding", "lhs_dilation"))
    for tap, out, stride, (before, _), input_dilation, dilation in zip(
        taps, space, *axes, options["rhs_dilation"], strict=True
    ):
        starts = np.arange(y.shape[out])[:, None] * stride
        positions = starts + np.arange(kernel.shape[tap])[None] * dilation - before
        total *= int((positions % input_dilation == 0).sum())
    return total


def _programs(eqn: Any) -> Iterator[Any]:
    """The jaxprs in an equation's params: the body of a loop, the branches of a cond, ..."""
    for leaf in jax.tree.leaves(list(eqn.params.values())):
        if isinstance(leaf, ClosedJaxpr | Jaxpr):
            yield leaf
