"""Slices of the input, one per tap of a window, and depthwise convolution as a sum over them."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.dtypes import wide_dtype
from jaxnets.layer import Array
from jaxnets.lowering.padding import Ints, Pairs


def taps(x: Array, size: Ints, strides: Ints, padding: Pairs, dilation: Ints) -> list[Array]:
    """The inputs at each tap of a window, in row-major order: each (batch, *space, channels)."""
    x = lax.pad(x, x.dtype.type(0), [(0, 0, 0), *((*pair, 0) for pair in padding), (0, 0, 0)])
    span = [(n - 1) * d for n, d in zip(size, dilation, strict=True)]
    space = tuple(
        (n - r - 1) // s + 1 for n, r, s in zip(x.shape[1:-1], span, strides, strict=True)
    )
    slices = []
    for tap in itertools.product(*map(range, size)):
        first = [t * d for t, d in zip(tap, dilation, strict=True)]
        last = [f + (n - 1) * s + 1 for f, n, s in zip(first, space, strides, strict=True)]
        stop, step = (x.shape[0], *last, x.shape[-1]), (1, *strides, 1)
        slices.append(lax.slice(x, (0, *first, 0), stop, step))
    return slices


@partial(jax.jit, static_argnums=(2, 3, 4, 5))
def taps_conv(
    x: Array, kernel: Array, strides: Ints, padding: Pairs, dilation: Ints, groups: int
) -> Array:
    """Depthwise cross-correlation: a sum over taps of elementwise products."""
    *size, _, features = kernel.shape
    wide = wide_dtype(x.dtype)  # bfloat16 would round after every tap, and in every gradient
    x = jnp.repeat(x.astype(wide), features // groups, axis=-1)
    weights = kernel.astype(wide).reshape(-1, *(1,) * (x.ndim - 1), features)
    slices = taps(x, tuple(size), strides, padding, dilation)
    products = (w * tap for w, tap in zip(weights, slices, strict=True))
    return sum(products, start=jnp.zeros((), wide)).astype(kernel.dtype)
