"""Pooling: by blocks for adjacent windows, the maximum only on CPU; else XLA's."""

from functools import partial

from jax import lax

from jaxnets.layer import Array
from jaxnets.lowering.blocks import blocks_avg_pool, blocks_max_pool, blocks_sum_pool
from jaxnets.lowering.padding import Ints, Pairs, dilated
from jaxnets.lowering.plain import plain_avg_pool, plain_max_pool, plain_sum_pool
from jaxnets.lowering.plain_context import needs_plain


def max_pool(x: Array, window: Ints, strides: Ints, padding: Pairs, dilation: Ints) -> Array:
    """The largest value of each window: by blocks on CPU for adjacent windows without padding."""
    options = {"strides": strides, "padding": padding, "dilation": dilation}
    plain = partial(plain_max_pool, window=window, **options)
    if not _by_blocks(x, window, **options):
        return plain(x)
    return lax.platform_dependent(x, cpu=partial(blocks_max_pool, window=window), default=plain)


def sum_pool(x: Array, window: Ints, strides: Ints, padding: Pairs, dilation: Ints) -> Array:
    """The sum of each window: by blocks for adjacent windows without padding, else plain."""
    if _by_blocks(x, window, strides, padding, dilation):
        return blocks_sum_pool(x, window)
    return plain_sum_pool(x, window, strides, padding, dilation)


def avg_pool(x: Array, window: Ints, strides: Ints, padding: Pairs, dilation: Ints) -> Array:
    """The mean of each window: by blocks for adjacent windows without padding, else plain."""
    if _by_blocks(x, window, strides, padding, dilation):
        return blocks_avg_pool(x, window)
    return plain_avg_pool(x, window, strides, padding, dilation)


def _by_blocks(x: Array, window: Ints, strides: Ints, padding: Pairs, dilation: Ints) -> bool:
    if needs_plain(x):
        return False
    return dilated(window, dilation) == strides == window and not any(map(any, padding))
