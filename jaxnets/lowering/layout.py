"""Images kept as (height, width, batch, channels) from one convolution to the next, on CPU.

There a convolution is matmuls of operands that need no transposing, before, between and after
them. It is the layout of a whole program that is changed, by walking through its jaxpr: layers
know nothing of it, and an operation that is not known here is given its images as (batch, height,
width, channels), as ever.
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
CALLS = ("jit", "closed_call")  # walked through; other calls are computed as they stand
# Of what is elementwise, that which rises wherever it is defined, and that which may fall.
RISING = {"add", "max", "min", "name", "copy", "stop_gradient"}
RISING |= {"exp", "expm1", "logistic", "tanh", "erf"}
FALLING = {"neg", "sub", "mul", "div"}  # or rising: it depends on the other operand
REDUCTIONS = {"reduce_sum", "reduce_max", "reduce_min", "reduce_and", "reduce_or"}


def in_hwnc(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f`, whose convolutions, and what lies between them, go faster on CPU.

    `f` takes and returns pytrees of arrays. Convolutions and max pools are recognised that choose
    their way by platform, as those of `conv` and `max_pool` do; one that was given its way, as
    `lowering.plain_conv`, is left alone. On other platforms, and where nothing is to be gained,
    `f` is computed as it stands. So are convolutions with strides, dilation, groups or 16-bit
    kernels, and pools whose windows overlap. Shapes and dtypes are those of `f`, from an empty
    batch to images of one pixel; values and gradients differ by rounding, and in these cases:

    - A value that is not finite makes more around it NaN, up to the whole image that it is in,
      since the transforms of `cook_toom_conv` mix a strip's pixels; other images stay as they are.
      What `f` makes of it that is not finite is not finite here either, with one exception below.
    - Beyond 1e25 in float32, finite values may overflow in these transforms.
    - Of equal values in a max pool, `f` gives the gradient to the first. Here values that rounding
      keeps apart, or that only a step between the convolution and the pool makes equal, are not
      equal: the gradient goes to what was the largest before that step, and with a factor of 0 to
      what would be with one just above. The exception: -inf beside larger values is lost before a
      factor of exactly 0, where `f` has NaN.
    """

    def g(*arguments: Any) -> Any:
        jaxpr, shapes = jax.make_jaxpr(f, return_shape=True)(*arguments)
        plain, leaves = jaxpr_as_fun(jaxpr), jax.tree.leaves(arguments)
        if _gains(jaxpr):
            in_layout = partial(_compute_in_hwnc, jaxpr)
            leaves = lax.platform_dependent(*leaves, cpu=in_layout, default=plain)
        else:
            leaves = plain(*leaves)
        return jax.tree.unflatten(jax.tree.structure(shapes), leaves)

    return g


class Step(NamedTuple):
    """An operation on each value of a channel that rises (sign None, or 1) or falls (-1)."""

    apply: Callable[[Array], Array]
    sign: Any


@dataclass(frozen=True)
class Images:
    """(height, width, batch, channels), and the steps that are still to be taken.

    A max pool commutes with them: of a window's values the largest stays the largest, or becomes
    the smallest. So they need meet only the winners.
    """

    before: Array
    steps: tuple[Step, ...] = ()

    @property
    def array(self) -> Array:
        """With all steps taken."""
        x = self.before
        for step in self.steps:
            x = step.apply(x)
        return x


def _gains(jaxpr: ClosedJaxpr) -> bool:
    """Whether there is a convolution for which the layout is worth changing."""
    found = []

    def look(operation: Operation, operands: Sequence[None]) -> list[None]:
        del operands
        found.append(_implementation(operation) is cook_toom_conv)
        return [None] * len(operation.eqn.outvars)

    Walk(look, lambda value, aval: None, inline=CALLS)(jaxpr, [None] * len(jaxpr.in_avals))
    return any(found)


def _compute_in_hwnc(jaxpr: ClosedJaxpr, *inputs: Array) -> list[Array]:
    return [_to_nhwc(y) for y in Walk(_visit, inline=CALLS)(jaxpr, inputs)]


def _visit(operation: Operation, operands: Sequence[Any]) -> Sequence[Any]:
    with _place(operation):
        for rule in (_convolution, _max_pool, _elementwise, _reduction):
            if (made := rule(operation, operands)) is not None:
                return [made]
        return compute(operation, [_to_nhwc(x) for x in operands])


def _convolution(operation: Operation, operands: Sequence[Any]) -> Images | None:
    if operation.name != "custom_vjp_call" or (convolve := _implementation(operation)) is None:
        return None
    (x, kernel), padding = operands, _plain_equation(operation).params["padding"]
    share = on_each(lambda x, kernel: convolve(x, kernel, padding), TO_HWNC.index(0))
    return Images(share(_to_hwnc(x), kernel))


def _max_pool(operation: Operation, operands: Sequence[Any]) -> Images | None:
    eqn = _plain_equation(operation)
    if operation.name != "cond" or eqn is None or eqn.primitive.name != "reduce_window_max":
        return None
    if not isinstance(x := operands[-1], Images):
        return None
    window = tuple(eqn.params["window_dimensions"][1:-1])
    signs = [step.sign for step in x.steps if step.sign is not None]
    if not signs:
        return Images(blocks_max_pool(x.before, window, 0), x.steps)
    sign: Any = math.prod(signs)
    pooled: Any = blocks_max_pool(sign * x.before, window, 0)
    return Images(sign * pooled, x.steps)


def _elementwise(operation: Operation, operands: Sequence[Any]) -> Images | None:
    images = [x for x in operands if isinstance(x, Images)]
    ranks = {len(atom.aval.shape) for atom in operation.eqn.invars}
    if not images or ranks - {0, 4} or not (_is_relu(operation) or operation.name in ELEMENTWISE):
        return None
    others = [None if isinstance(x, Images) else _to_hwnc(x) for x in operands]

    def apply(*arrays: Array) -> Array:
        with _place(operation):
            left = iter(arrays)
            operands = [next(left) if other is None else other for other in others]
            return jax.nn.relu(*arrays) if _is_relu(operation) else compute(operation, operands)[0]

    if len(images) == 1 and _is_monotone(operation, others):
        step = Step(apply, _sign(operation, others))
        return Images(images[0].before, (*images[0].steps, step))
    return Images(apply(*(x.array for x in images)))


def _is_monotone(operation: Operation, others: Sequence[Any]) -> bool:
    """Whether it rises or falls along a channel; `others` has the operands beside the images."""
    arrays = [other for other in others if other is not None]
    by_channel = all(jnp.ndim(array) == 0 or array.shape[:3] == (1, 1, 1) for array in arrays)
    divides = operation.name == "div" and others[0] is not None
    known = operation.name in RISING | FALLING or _is_relu(operation)
    return by_channel and known and not divides


def _sign(operation: Operation, others: Sequence[Any]) -> Any:
    """None where it rises; else -1, or 1 and -1 by channel."""
    if operation.name in ("mul", "div"):
        factor = next(other for other in others if other is not None)
        return jnp.where(factor < 0, -1, 1).astype(jnp.result_type(factor))
    falls = operation.name == "neg" or (operation.name == "sub" and others[0] is not None)
    return -1 if falls else None


def _reduction(operation: Operation, operands: Sequence[Any]) -> Any:
    """Along the same axes, wherever they are now, if those left over keep their order."""
    if operation.name not in REDUCTIONS or not isinstance(operands[0], Images):
        return None
    axes = [TO_HWNC.index(axis) for axis in operation.eqn.params["axes"]]
    left = [TO_HWNC.index(axis) for axis in range(4) if TO_HWNC.index(axis) not in axes]
    if left != sorted(left):
        return None
    settings = operation.eqn.params | {"axes": tuple(sorted(axes))}
    return operation.eqn.primitive.bind(operands[0].array, **settings)


def _implementation(operation: Operation) -> Callable[..., Array] | None:
    """That of a convolution in HWNC, if the operation is one that gains by the layout."""
    convolution = Convolution.of_equation(_plain_equation(operation))
    return None if convolution is None else choose("cpu", convolution)


def _plain_equation(operation: Operation) -> Any:
    """The operation that a choice by platform makes of one on platforms in general, if any."""
    if operation.name == "custom_vjp_call":
        *_, last = operation.eqn.params["call_jaxpr"].jaxpr.eqns or [None]
        return last and _plain_equation(operation._replace(eqn=last))
    branch = branch_for(None, operation)
    return branch.jaxpr.eqns[0] if branch and len(branch.jaxpr.eqns) == 1 else None


def _is_relu(operation: Operation) -> bool:
    """It has a derivative of its own, at 0, that is to be kept."""
    if operation.name != "custom_jvp_call":
        return False
    return [eqn.params.get("name") for eqn in operation.eqn.params["call_jaxpr"].eqns] == ["relu"]


def _to_hwnc(x: Any) -> Any:
    """As (height, width, batch, channels); what has no axes stays as it is."""
    if isinstance(x, Images):
        return x.array
    return x.transpose(TO_HWNC) if jnp.ndim(x) == 4 else x


def _to_nhwc(x: Any) -> Any:
    """As (batch, height, width, channels)."""
    return x.array.transpose(TO_NHWC) if isinstance(x, Images) else x


@contextmanager
def _place(operation: Operation) -> Iterator[None]:
    """What is made here stands in the layer, and on the line, that the operation stood in."""
    scope = jax.named_scope(operation.stack.strip("/"))
    with user_context(operation.eqn.source_info.traceback), scope:
        yield
