"""The plain implementations: XLA's operations with JAX's derivatives. Fastest on GPU and TPU."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.dtypes import float_dtype, wide_dtype
from jaxnets.layer import Array
from jaxnets.lowering.padding import Ints, Pairs, dilated
from jaxnets.lowering.taps import taps

_LAYOUTS = {
    1: ("NWC", "WIO", "NWC"),
    2: ("NHWC", "HWIO", "NHWC"),
    3: ("NDHWC", "DHWIO", "NDHWC"),
}


def plain_conv(
    x: Array,
    kernel: Array,
    strides: Ints,
    padding: Pairs,
    dilation: Ints,
    groups: int,
) -> Array:
    """Cross-correlation of (batch, *space, channels) with (*size, channels / groups, features)."""
    if any(side < 0 for pair in padding for side in pair):  # XLA gives wrong results on CPU
        crop = [(min(before, 0), min(after, 0), 0) for before, after in padding]
        x = lax.pad(x, x.dtype.type(0), [(0, 0, 0), *crop, (0, 0, 0)])
        padding = tuple((max(before, 0), max(after, 0)) for before, after in padding)
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
    extent: Ints,
    strides: Ints,
    padding: Pairs,
    dilation: Ints,
    groups: int,
) -> Array:
    """The transpose of `plain_conv` with the same kernel, to a spatial shape of `extent`."""

    def forward(y: Array) -> Array:
        return plain_conv(y, kernel, strides, padding, dilation, groups)

    y = jax.ShapeDtypeStruct((x.shape[0], *extent, kernel.shape[-2] * groups), x.dtype)
    return jax.linear_transpose(forward, y)(x)[0]


def plain_max_pool(x: Array, window: Ints, strides: Ints, padding: Pairs, dilation: Ints) -> Array:
    """The largest value of each window; padding is never the maximum."""
    dtype, span = x.dtype, dilated(window, dilation)
    overlap = any(s < n for s, n in zip(strides, span, strict=True))
    if overlap and jnp.issubdtype(dtype, jnp.inexact):
        x = x.astype(wide_dtype(dtype))  # gradients of overlapping windows are summed
    if span != window:
        return _largest_tap(x, window, strides, padding, dilation).astype(dtype)
    options = _windows(window, strides, padding, dilation)
    return lax.reduce_window(x, _lowest(x.dtype), lax.max, **options).astype(dtype)


def plain_sum_pool(x: Array, window: Ints, strides: Ints, padding: Pairs, dilation: Ints) -> Array:
    """The sum of each window."""
    return _wide_sum(x, window, strides, padding, dilation).astype(float_dtype(x.dtype))


def plain_avg_pool(x: Array, window: Ints, strides: Ints, padding: Pairs, dilation: Ints) -> Array:
    """The mean of each window, without padding values."""
    total: Array = _wide_sum(x, window, strides, padding, dilation)
    count: Any = math.prod(window)
    if any(map(any, padding)):
        count = _wide_sum(jnp.ones_like(x), window, strides, padding, dilation)
    return (total / count).astype(float_dtype(x.dtype))


def _wide_sum(x: Array, window: Ints, strides: Ints, padding: Pairs, dilation: Ints) -> Array:
    """The sum in float32 or wider: in bfloat16, 256 + 1 is 256."""
    x, options = x.astype(wide_dtype(x.dtype)), _windows(window, strides, padding, dilation)
    return lax.reduce_window(x, x.dtype.type(0), lax.add, **options)


def _largest_tap(x: Array, window: Ints, strides: Ints, padding: Pairs, dilation: Ints) -> Array:
    """The largest of a dilated window's taps; JAX cannot differentiate XLA's dilated maximum.

    Of equal values the first gets the gradient, as in XLA; NaN is the largest.
    """
    edges = [(0, 0, 0), *((*pair, 0) for pair in padding), (0, 0, 0)]
    y, *others = taps(
        lax.pad(x, _lowest(x.dtype), edges), window, strides, ((0, 0),) * len(window), dilation
    )
    for tap in others:
        y = jnp.where((tap > y) | (tap != tap), tap, y)
    return y


def _lowest(dtype: Any) -> Any:
    """The smallest value of the dtype."""
    if jnp.issubdtype(dtype, jnp.integer):
        return dtype.type(jnp.iinfo(dtype).min)
    return dtype.type(False if jnp.issubdtype(dtype, jnp.bool_) else -jnp.inf)


def _windows(window: Ints, strides: Ints, padding: Pairs, dilation: Ints) -> dict[str, Any]:
    return {
        "window_dimensions": (1, *window, 1),
        "window_strides": (1, *strides, 1),
        "padding": ((0, 0), *padding, (0, 0)),
        "window_dilation": (1, *dilation, 1),
    }
