"""Keeps images in the layout (height, width, batch, channels), HWNC, on CPU.

In this layout a convolution consists of matmuls without transposes. The layout of a whole program
is changed by interpreting its jaxpr: layers do not depend on it, and operations without a rule here
get their images as (batch, height, width, channels), NHWC.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jax.extend.source_info_util import user_context

from jaxnets.jaxpr.walk import ELEMENTWISE, Operation, Walk, branch_for, compute
from jaxnets.layer import Array
from jaxnets.lowering.blocks import blocks_max_pool
from jaxnets.lowering.cook_toom import cook_toom_conv
from jaxnets.lowering.dispatch import Convolution, choose
from jaxnets.sharding import on_each

TO_HWNC, TO_NHWC = (1, 2, 0, 3), (2, 0, 1, 3)
CALLS = ("jit", "closed_call")  # inlined; other calls are evaluated unchanged
# Monotone elementwise operations: increasing, or in a direction that the other operand determines.
INCREASING = {"add", "max", "min", "name", "copy", "stop_gradient"}
INCREASING |= {"exp", "expm1", "logistic", "tanh", "erf"}
MAYBE_DECREASING = {"neg", "sub", "mul", "div"}
REDUCTIONS = {"reduce_sum", "reduce_max", "reduce_min", "reduce_and", "reduce_or"}


def in_hwnc(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f` with convolutions, and the operations between them, that are faster on CPU.

    `f` takes and returns pytrees of arrays. Changes the convolutions and max pools that choose
    their implementation by platform, as the defaults of `conv` and `max_pool` do; one with an
    explicit implementation, such as `lowering.plain_conv`, is unchanged. So are convolutions with
    strides, dilation, groups or 16-bit kernels, pools with overlapping windows, `f` on other
    platforms, and `f` without a convolution that would be faster. Shapes and dtypes are those of
    `f`, from an empty batch to images of one pixel; values and gradients differ by rounding, and in
    these cases:

    - A value that is not finite makes neighbouring values NaN, up to its whole image, since the
      transforms of `cook_toom_conv` mix the pixels of a strip; other images are unaffected. Values
      that are not finite in the result of `f` are not finite here either, with one exception below.
    - Above 1e25 in float32, finite values may overflow in these transforms.
    - Of equal values in a max pool, `f` gives the gradient to the first. Here, values that differ
      by rounding, or that only an operation between the convolution and the pool makes equal, are
      not equal: the gradient goes to the value that was largest before that operation, or, if the
      operation multiplies by 0, to the one that would be largest for a small positive factor. The
      exception: if the operation multiplies by exactly 0, `f` turns -inf into NaN, but here the
      pool has already dropped it if there are larger values.
    """

    def g(*arguments: Any) -> Any:
        jaxpr, shapes = jax.make_jaxpr(f, return_shape=True)(*arguments)
        plain, leaves = jaxpr_as_fun(jaxpr), jax.tree.leaves(arguments)
        if _is_faster(jaxpr):
            in_layout = partial(_evaluate_in_hwnc, jaxpr)
            leaves = lax.platform_dependent(*leaves, cpu=in_layout, default=plain)
        else:
            leaves = plain(*leaves)
        return jax.tree.unflatten(jax.tree.structure(shapes), leaves)

    return g


class MonotoneOperation(NamedTuple):
    """An elementwise operation that is increasing (sign None, or 1) or decreasing (-1)."""

    apply: Callable[[Array], Array]
    sign: Any


@dataclass(frozen=True)
class Images:
    """Images (height, width, batch, channels) with pending monotone operations.

    Max pooling commutes with them: the largest value of a window stays the largest, or becomes the
    smallest. So they can be applied to the pooled values only.
    """

    base: Array
    pending: tuple[MonotoneOperation, ...] = ()

    @property
    def array(self) -> Array:
        """The images after all pending operations."""
        x = self.base
        for operation in self.pending:
            x = operation.apply(x)
        return x


def _is_faster(jaxpr: ClosedJaxpr) -> bool:
    """Whether the program has a convolution that makes the change of layout worthwhile."""
    matches = []

    def visit(operation: Operation, operands: Sequence[None]) -> list[None]:
        del operands
        matches.append(_implementation(operation) is cook_toom_conv)
        return [None] * len(operation.eqn.outvars)

    Walk(visit, lambda value, aval: None, inline=CALLS)(jaxpr, [None] * len(jaxpr.in_avals))
    return any(matches)


def _evaluate_in_hwnc(jaxpr: ClosedJaxpr, *inputs: Array) -> list[Array]:
    return [_to_nhwc(y) for y in Walk(_visit, inline=CALLS)(jaxpr, inputs)]


def _visit(operation: Operation, operands: Sequence[Any]) -> Sequence[Any]:
    with _source_of(operation):
        for rule in (_convolution, _max_pool, _elementwise, _reduction):
            if (result := rule(operation, operands)) is not None:
                return [result]
        return compute(operation, [_to_nhwc(x) for x in operands])


def _convolution(operation: Operation, operands: Sequence[Any]) -> Images | None:
    if (convolve := _implementation(operation)) is None:
        return None
    *_, x, kernel = operands  # after the index of the branch, if there is one
    padding = _plain_equation(operation).params["padding"]
    sharded = on_each(lambda x, kernel: convolve(x, kernel, padding), TO_HWNC.index(0))
    return Images(sharded(_to_hwnc(x), kernel))


def _max_pool(operation: Operation, operands: Sequence[Any]) -> Images | None:
    eqn = _plain_equation(operation)
    if operation.name != "cond" or eqn is None or eqn.primitive.name != "reduce_window_max":
        return None
    if not isinstance(x := operands[-1], Images):
        return None
    window = tuple(eqn.params["window_dimensions"][1:-1])
    signs = [pending.sign for pending in x.pending if pending.sign is not None]
    if not signs:
        return Images(blocks_max_pool(x.base, window, 0), x.pending)
    sign: Any = math.prod(signs)
    pooled: Any = blocks_max_pool(sign * x.base, window, 0)
    return Images(sign * pooled, x.pending)


def _elementwise(operation: Operation, operands: Sequence[Any]) -> Images | None:
    images = [x for x in operands if isinstance(x, Images)]
    ranks = {len(atom.aval.shape) for atom in operation.eqn.invars}
    if not images or ranks - {0, 4} or not (_is_relu(operation) or operation.name in ELEMENTWISE):
        return None
    others = [None if isinstance(x, Images) else _to_hwnc(x) for x in operands]

    def apply(*arrays: Array) -> Array:
        with _source_of(operation):
            remaining = iter(arrays)
            operands = [next(remaining) if other is None else other for other in others]
            return jax.nn.relu(*arrays) if _is_relu(operation) else compute(operation, operands)[0]

    if len(images) == 1 and _is_monotone(operation, others):
        monotone = MonotoneOperation(apply, _sign(operation, others))
        return Images(images[0].base, (*images[0].pending, monotone))
    return Images(apply(*(x.array for x in images)))


def _is_monotone(operation: Operation, others: Sequence[Any]) -> bool:
    """Whether it is monotone in each channel; `others` has the operands that are not images."""
    arrays = [other for other in others if other is not None]
    by_channel = all(jnp.ndim(array) == 0 or array.shape[:3] == (1, 1, 1) for array in arrays)
    divides_by_images = operation.name == "div" and others[0] is not None
    is_monotone = operation.name in INCREASING | MAYBE_DECREASING or _is_relu(operation)
    return by_channel and is_monotone and not divides_by_images


def _sign(operation: Operation, others: Sequence[Any]) -> Any:
    """None if the operation is increasing; else -1, or 1 and -1 per channel."""
    if operation.name in ("mul", "div"):
        factor = next(other for other in others if other is not None)
        return jnp.where(factor < 0, -1, 1).astype(jnp.result_type(factor))
    decreasing = operation.name == "neg" or (operation.name == "sub" and others[0] is not None)
    return -1 if decreasing else None


def _reduction(operation: Operation, operands: Sequence[Any]) -> Any:
    """Reduces over the same axes in HWNC, if the remaining axes have the same order as in NHWC."""
    if operation.name not in REDUCTIONS or not isinstance(operands[0], Images):
        return None
    axes = [TO_HWNC.index(axis) for axis in operation.eqn.params["axes"]]
    remaining = [TO_HWNC.index(axis) for axis in range(4) if TO_HWNC.index(axis) not in axes]
    if remaining != sorted(remaining):
        return None
    options = operation.eqn.params | {"axes": tuple(sorted(axes))}
    return operation.eqn.primitive.bind(operands[0].array, **options)


def _implementation(operation: Operation) -> Callable[..., Array] | None:
    """The implementation in HWNC, if the operation is a convolution that has one."""
    convolution = Convolution.of_equation(_plain_equation(operation))
    return None if convolution is None else choose("cpu", convolution)


def _plain_equation(operation: Operation) -> Any:
    """The single equation of the default branch of a `lax.platform_dependent`, if it is one."""
    if operation.name == "custom_vjp_call":
        *_, last = operation.eqn.params["call_jaxpr"].jaxpr.eqns or [None]
        return last and _plain_equation(operation._replace(eqn=last))
    branch = branch_for(None, operation)
    return branch.jaxpr.eqns[0] if branch and len(branch.jaxpr.eqns) == 1 else None


def _is_relu(operation: Operation) -> bool:
    """Whether it is `jax.nn.relu`, whose custom derivative at 0 must be kept."""
    if operation.name != "custom_jvp_call":
        return False
    return [eqn.params.get("name") for eqn in operation.eqn.params["call_jaxpr"].eqns] == ["relu"]


def _to_hwnc(x: Any) -> Any:
    """As (height, width, batch, channels); arrays that do not have four axes are unchanged."""
    if isinstance(x, Images):
        return x.array
    return x.transpose(TO_HWNC) if jnp.ndim(x) == 4 else x


def _to_nhwc(x: Any) -> Any:
    """As (batch, height, width, channels)."""
    return x.array.transpose(TO_NHWC) if isinstance(x, Images) else x


@contextmanager
def _source_of(operation: Operation) -> Iterator[None]:
    """Gives new operations the layer's name scope and the source line of this operation."""
    scope = jax.named_scope(operation.stack.strip("/"))
    with user_context(operation.eqn.source_info.traceback), scope:
        yield
