"""The plain way: XLA's own operations, with JAX's own derivatives. Best on GPU and TPU."""

import math

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.layer import Array
from jaxnets.lowering.padding import Pairs

_LAYOUTS = {1: ("NWC", "WIO", "NWC"), 2: ("NHWC", "HWIO", "NHWC")}


def plain_conv(
    x: Array,
    kernel: Array,
    strides: tuple[int, ...],
    padding: Pairs,
    dilation: tuple[int, ...],
    groups: int,
) -> Array:
    """Cross-correlation of (batch, *space, channels) with (*size, channels / groups, features)."""
    return lax.conv_general_dilated(
        x,
        kernel,
        strides,
        padding,
        rhs_dilation=dilation,
        dimension_numbers=_LAYOUTS[len(strides)],
        feature_group_count=groups,
    )


def plain_conv_transpose(
    x: Array,
    kernel: Array,
    extent: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Pairs,
) -> Array:
    """The transpose of `plain_conv` with the same kernel, to spatial axes of `extent`."""

    def forward(y: Array) -> Array:
        return plain_conv(y, kernel, strides, padding, (1,) * len(strides), 1)

    y = jax.ShapeDtypeStruct((x.shape[0], *extent, kernel.shape[-2]), x.dtype)
    return jax.linear_transpose(forward, y)(x)[0]


def plain_max_pool(
    x: Array, window: tuple[int, ...], strides: tuple[int, ...], padding: Pairs
) -> Array:
    """The largest value of each window; padding never wins."""
    lowest = -jnp.inf if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.iinfo(x.dtype).min
    return lax.reduce_window(x, x.dtype.type(lowest), lax.max, *_windows(window, strides, padding))


def plain_sum_pool(
    x: Array, window: tuple[int, ...], strides: tuple[int, ...], padding: Pairs
) -> Array:
    """The sum of each window."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.int32))  # a sum of bytes is no byte
    return lax.reduce_window(x, x.dtype.type(0), lax.add, *_windows(window, strides, padding))


def plain_avg_pool(
    x: Array, window: tuple[int, ...], strides: tuple[int, ...], padding: Pairs
) -> Array:
    """The mean of the real values in each window; padding does not count."""
    total = plain_sum_pool(x, window, strides, padding)
    if not any(map(any, padding)):
        return total / math.prod(window)
    return total / plain_sum_pool(jnp.ones_like(x), window, strides, padding)


def _windows(window: tuple[int, ...], strides: tuple[int, ...], padding: Pairs) -> tuple:
    return (1, *window, 1), (1, *strides, 1), ((0, 0), *padding, (0, 0))
