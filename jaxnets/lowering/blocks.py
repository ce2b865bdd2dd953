"""Pooling with non-overlapping windows, as a reshape and a reduction over the new axes."""

import itertools
import math
from functools import partial, reduce
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.dtypes import float_dtype, wide_dtype
from jaxnets.layer import Array

Ints = tuple[int, ...]


@partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def blocks_max_pool(x: Array, window: Ints, first: int = 1) -> Array:
    """The largest value of each block; of equal values the first gets the gradient, as in XLA.

    `window` has the block's size along consecutive axes, starting with axis `first`.
    """
    return _blocks(x, window, first).max(_inner_axes(window, first))


def blocks_sum_pool(x: Array, window: Ints) -> Array:
    """The sum of each block."""
    wide = x.astype(wide_dtype(x.dtype))
    return _blocks(wide, window).sum(_inner_axes(window)).astype(float_dtype(x.dtype))


def blocks_avg_pool(x: Array, window: Ints) -> Array:
    """The mean of each block."""
    wide = x.astype(wide_dtype(x.dtype))
    return _blocks(wide, window).mean(_inner_axes(window)).astype(float_dtype(x.dtype))


def _forward(x: Array, window: Ints, first: int) -> tuple[Array, tuple[Array, Ints]]:
    taps = _taps(_blocks(x, window, first), window, first)
    y = reduce(jnp.maximum, taps)
    argmax: Any = jnp.full_like(y, len(taps) - 1, jnp.float32)  # bytes would not vectorise on CPU
    for number, tap in reversed(list(enumerate(taps[:-1]))):
        argmax = jnp.where(tap == y, number, argmax)
    return y, (argmax, x.shape)


def _backward(window: Ints, first: int, saved: tuple[Array, Ints], g: Array) -> tuple[Array]:
    argmax, shape = saved
    inner = _inner_axes(window, first)
    numbers = jnp.arange(math.prod(window), dtype=argmax.dtype).reshape(window)
    outer = [axis for axis in range(argmax.ndim + len(window)) if axis not in inner]
    argmax, g = (jnp.expand_dims(array, inner) for array in (argmax, g))
    dx = jnp.where(argmax == jnp.expand_dims(numbers, outer), g, 0)
    cropped = _cropped_shape(shape, window, first)
    padding = [(0, n - m) for n, m in zip(shape, cropped, strict=True)]
    return (jnp.pad(dx.reshape(cropped), padding),)


blocks_max_pool.defvjp(_forward, _backward)


def _blocks(x: Array, window: Ints, first: int = 1) -> Array:
    """Reshapes each axis n to (n / w, w); a remainder that fills no window is cropped."""
    cropped = _cropped_shape(x.shape, window, first)
    pairs = [size for n, w in zip(cropped[first:], window, strict=False) for size in (n // w, w)]
    x = x[tuple(map(slice, cropped))]
    return x.reshape(*cropped[:first], *pairs, *cropped[first + len(window) :])


def _cropped_shape(shape: Ints, window: Ints, first: int) -> Ints:
    """The shape without the remainder that fills no window."""
    windows = (*(1,) * first, *window, *(1,) * (len(shape) - first - len(window)))
    return tuple(n // w * w for n, w in zip(shape, windows, strict=True))


def _inner_axes(window: Ints, first: int = 1) -> Ints:
    """The axes of `_blocks` within a block."""
    return tuple(first + 1 + 2 * axis for axis in range(len(window)))


def _taps(blocks: Array, window: Ints, first: int) -> list[Array]:
    """The values at each position within the blocks, in row-major order."""
    leading = (slice(None),) * first
    positions = itertools.product(*map(range, window))
    return [
        blocks[(*leading, *(index for p in position for index in (slice(None), p)))]
        for position in positions
    ]
