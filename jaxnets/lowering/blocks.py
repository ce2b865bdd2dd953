"""Pooling over windows that tile the input: a reshape, and a backward pass without a search."""

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
    """The largest value of each block; in a tie the gradient goes to the first, as in XLA.

    The blocks run along as many axes as the window has, from the axis `first` on.
    """
    return _blocks(x, window, first).max(_within(window, first))


def blocks_sum_pool(x: Array, window: Ints) -> Array:
    """The sum of each block."""
    wide = x.astype(wide_dtype(x.dtype))
    return _blocks(wide, window).sum(_within(window)).astype(float_dtype(x.dtype))


def blocks_avg_pool(x: Array, window: Ints) -> Array:
    """The mean of each block."""
    wide = x.astype(wide_dtype(x.dtype))
    return _blocks(wide, window).mean(_within(window)).astype(float_dtype(x.dtype))


def _forward(x: Array, window: Ints, first: int) -> tuple[Array, tuple[Array, Ints]]:
    taps = _taps(_blocks(x, window, first), window, first)
    y = reduce(jnp.maximum, taps)
    winner: Any = jnp.full_like(y, len(taps) - 1, jnp.float32)  # bytes would not vectorise on CPU
    for number, tap in reversed(list(enumerate(taps[:-1]))):
        winner = jnp.where(tap == y, number, winner)
    return y, (winner, x.shape)


def _backward(window: Ints, first: int, saved: tuple[Array, Ints], g: Array) -> tuple[Array]:
    winner, shape = saved
    within = _within(window, first)
    numbers = jnp.arange(math.prod(window), dtype=winner.dtype).reshape(window)
    outside = [axis for axis in range(winner.ndim + len(window)) if axis not in within]
    winner, g = (jnp.expand_dims(part, within) for part in (winner, g))
    spread = jnp.where(winner == jnp.expand_dims(numbers, outside), g, 0)
    whole = _whole(shape, window, first)
    rest = [(0, n - m) for n, m in zip(shape, whole, strict=True)]
    return (jnp.pad(spread.reshape(whole), rest),)


blocks_max_pool.defvjp(_forward, _backward)


def _blocks(x: Array, window: Ints, first: int = 1) -> Array:
    """(..., n / w, w, ...) along each axis; a remainder that fills no window is dropped."""
    whole = _whole(x.shape, window, first)
    pairs = [size for n, w in zip(whole[first:], window, strict=False) for size in (n // w, w)]
    x = x[tuple(map(slice, whole))]
    return x.reshape(*whole[:first], *pairs, *whole[first + len(window) :])


def _whole(shape: Ints, window: Ints, first: int) -> Ints:
    """The shape without that remainder."""
    windows = (*(1,) * first, *window, *(1,) * (len(shape) - first - len(window)))
    return tuple(n // w * w for n, w in zip(shape, windows, strict=True))


def _within(window: Ints, first: int = 1) -> Ints:
    """The axes of `_blocks` that run inside a block."""
    return tuple(first + 1 + 2 * axis for axis in range(len(window)))


def _taps(blocks: Array, window: Ints, first: int) -> list[Array]:
    """What each position of a block holds, in row-major order."""
    before = (slice(None),) * first
    places = itertools.product(*map(range, window))
    return [blocks[(*before, *(i for p in place for i in (slice(None), p)))] for place in places]
