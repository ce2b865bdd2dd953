"""Convolutions of stride 1 on images (height, width, batch, channels), and which way each goes."""

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from jaxnets.layer import Array
from jaxnets.lowering.cook_toom import cook_toom_conv
from jaxnets.lowering.memory import gradient_in_memory
from jaxnets.lowering.padding import Pairs
from jaxnets.lowering.taps import taps

Convolve = Callable[[Array, Array, Pairs], Array]

LAYOUT = lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))  # NHWC, HWIO, NHWC
MOST_TAPS = 5  # an axis: beyond it float32 loses digits
FEWEST_CHANNELS = 4  # of the input: below it patches are faster, for 3 x 3 (bench.convolutions)
ONES = (1, 1)


def way(eqn: Any) -> Convolve | None:
    """How to convolve, given the equation of the plain way; None if there is no way here."""
    if eqn is None or eqn.primitive.name != "conv_general_dilated":
        return None
    x, kernel = (atom.aval for atom in eqn.invars)
    axes = [eqn.params[name] for name in ("window_strides", "lhs_dilation", "rhs_dilation")]
    plain = eqn.params["dimension_numbers"] == LAYOUT and axes == [ONES] * 3
    if not plain or eqn.params["feature_group_count"] != 1:
        return None
    if 0 in (*x.shape, *eqn.outvars[0].aval.shape):
        return None
    if kernel.dtype not in (jnp.float32, jnp.float64):
        return None
    taps_an_axis = kernel.shape[:2]
    if taps_an_axis == ONES and not any(map(any, eqn.params["padding"])):
        return pointwise_conv
    if x.shape[-1] < FEWEST_CHANNELS:
        return patches_conv
    borders = map(max, eqn.params["padding"])
    narrow = all(border < taps for border, taps in zip(borders, taps_an_axis, strict=True))
    return cook_toom_conv if narrow and max(taps_an_axis) <= MOST_TAPS else None


def pointwise_conv(x: Array, kernel: Array, padding: Pairs) -> Array:
    """A matmul over channels, for a kernel of one tap."""
    del padding
    return x @ kernel[0, 0]


def patches_conv(x: Array, kernel: Array, padding: Pairs) -> Array:
    """One matmul over what each tap sees, for few channels."""
    *size, _, features = kernel.shape
    seen = jnp.stack(taps(x.transpose(3, 0, 1, 2), tuple(size), ONES, padding, ONES))
    space = seen.shape[2:]  # height, width, batch
    columns = seen.reshape(-1, math.prod(space))
    weights = kernel.reshape(len(columns), features)
    y = lax.dot_general(columns, weights, (((0,), (0,)), ((), ())))
    return gradient_in_memory(y.reshape(*space, features))
