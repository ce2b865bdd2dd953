"""Pooling over windows that tile the input: a reshape, and a backward pass without a search."""

import math
from functools import partial

import jax
import jax.numpy as jnp

from jaxnets.layer import Array

Ints = tuple[int, ...]


@partial(jax.custom_vjp, nondiff_argnums=(1,))
def blocks_max_pool(x: Array, window: Ints) -> Array:
    """The largest value of each block; in a tie the gradient goes to the first, as in XLA."""
    return _blocks(x, window).max(_within(window))


def blocks_sum_pool(x: Array, window: Ints) -> Array:
    """The sum of each block."""
    return _blocks(x, window).sum(_within(window), dtype=jnp.promote_types(x.dtype, jnp.int32))


def blocks_avg_pool(x: Array, window: Ints) -> Array:
    """The mean of each block."""
    return _blocks(x, window).mean(_within(window))


def _forward(x: Array, window: Ints) -> tuple[Array, tuple[Array, Ints]]:
    blocks = _blocks(x, window)
    y = blocks.max(_within(window), keepdims=True)
    # Floats, because comparisons of bytes or integers do not vectorise on CPU.
    tap = _tap_numbers(window)
    winner = jnp.where(blocks == y, tap, math.prod(window)).min(_within(window), keepdims=True)
    return y.reshape(winner.squeeze(_within(window)).shape), (winner, x.shape)


def _backward(window: Ints, residuals: tuple[Array, Ints], g: Array) -> tuple[Array]:
    winner, shape = residuals
    spread = jnp.where(winner == _tap_numbers(window), g.reshape(winner.shape), 0)
    whole = [n // w * w for n, w in zip(shape[1:-1], window, strict=True)]
    rest = [(0, n - m) for n, m in zip(shape[1:-1], whole, strict=True)]
    dx = spread.reshape(shape[0], *whole, shape[-1])
    return (jnp.pad(dx, ((0, 0), *rest, (0, 0))),)


blocks_max_pool.defvjp(_forward, _backward)


def _blocks(x: Array, window: Ints) -> Array:
    """(batch, n / w, w, ..., channels); a remainder that fills no window is dropped, as VALID."""
    counts = [n // w for n, w in zip(x.shape[1:-1], window, strict=True)]
    whole = [slice(0, n * w) for n, w in zip(counts, window, strict=True)]
    pairs = [size for pair in zip(counts, window, strict=True) for size in pair]
    return x[(slice(None), *whole)].reshape(x.shape[0], *pairs, x.shape[-1])


def _within(window: Ints) -> Ints:
    """The axes of `_blocks` that run inside a block."""
    return tuple(2 + 2 * axis for axis in range(len(window)))


def _tap_numbers(window: Ints) -> Array:
    """0, 1, 2, ... over the positions of a block, in the axes of `_blocks`."""
    shape = [size for w in window for size in (1, w)]
    return jnp.arange(math.prod(window), dtype=jnp.float32).reshape(1, *shape, 1)
