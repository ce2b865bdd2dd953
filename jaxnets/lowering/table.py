"""The table that chooses: XLA's plain operations, except on CPU where another way is faster.

`lax.platform_dependent` decides when the program is lowered, so one traced program suits every
backend. The CPU's ways have a backward pass of their own, hence no forward-mode derivative; the
plain ways have both.
"""

import math
from collections.abc import Callable
from functools import partial

import jax
from jax import lax

from jaxnets.layer import Array
from jaxnets.lowering import patches
from jaxnets.lowering.blocks import blocks_avg_pool, blocks_max_pool, blocks_sum_pool
from jaxnets.lowering.padding import Pairs
from jaxnets.lowering.plain import (
    plain_avg_pool,
    plain_conv,
    plain_conv_transpose,
    plain_max_pool,
    plain_sum_pool,
)
from jaxnets.lowering.taps import taps_conv

Ints = tuple[int, ...]

PATCHES_LIMIT = 2**28  # bytes: beyond it a CPU's memory, not its arithmetic, sets the pace


def conv(
    x: Array, kernel: Array, strides: Ints, padding: Pairs, dilation: Ints, groups: int
) -> Array:
    """Cross-correlation. On CPU: depthwise tap by tap, else by patches while they fit in memory."""
    if groups > 1 and kernel.shape[-2] == 1:
        how = {"strides": strides, "padding": padding, "dilation": dilation, "groups": groups}
        by_taps, plain = partial(taps_conv, **how), partial(plain_conv, **how)
        return lax.platform_dependent(x, kernel, cpu=by_taps, default=plain)
    if patches.patches_bytes(x, kernel, strides) > PATCHES_LIMIT:
        return plain_conv(x, kernel, strides, padding, dilation, groups)
    return _conv(x, kernel, strides, padding, dilation, groups)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def _conv(
    x: Array, kernel: Array, strides: Ints, padding: Pairs, dilation: Ints, groups: int
) -> Array:
    def by(way: Callable[..., Array]) -> Callable[[Array, Array], Array]:
        return lambda x, kernel: way(x, kernel, strides, padding, dilation, groups)

    return lax.platform_dependent(x, kernel, cpu=by(patches.patches_conv), default=by(plain_conv))


def _conv_forward(x: Array, kernel: Array, *how) -> tuple[Array, tuple[Array, Array]]:
    return _conv(x, kernel, *how), (x, kernel)


def _conv_backward(
    strides: Ints, padding: Pairs, dilation: Ints, groups: int, saved: tuple[Array, Array], g: Array
) -> tuple[Array, Array]:
    how = (strides, padding, dilation, groups)

    def by_patches(g: Array, x: Array, kernel: Array) -> tuple[Array, Array]:
        dx = patches.input_gradient(g, x.shape[1:-1], kernel, *how)
        return dx, patches.kernel_gradient(g, x, kernel, *how)

    def plain(g: Array, x: Array, kernel: Array) -> tuple[Array, Array]:
        return jax.vjp(lambda x, kernel: plain_conv(x, kernel, *how), x, kernel)[1](g)

    return lax.platform_dependent(g, *saved, cpu=by_patches, default=plain)


_conv.defvjp(_conv_forward, _conv_backward)


def conv_transpose(x: Array, kernel: Array, extent: Ints, strides: Ints, padding: Pairs) -> Array:
    """The transpose of `conv` with its kernel, to spatial axes of `extent`, chosen likewise."""
    if math.prod(x.shape[:-1] + kernel.shape[:-1]) * x.dtype.itemsize > PATCHES_LIMIT:
        return plain_conv_transpose(x, kernel, extent, strides, padding)
    return _conv_transpose(x, kernel, extent, strides, padding)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4))
def _conv_transpose(x: Array, kernel: Array, extent: Ints, strides: Ints, padding: Pairs) -> Array:
    def by_patches(x: Array, kernel: Array) -> Array:
        return patches.input_gradient(x, extent, kernel, strides, padding, (1,) * len(extent), 1)

    plain = partial(plain_conv_transpose, extent=extent, strides=strides, padding=padding)
    return lax.platform_dependent(x, kernel, cpu=by_patches, default=plain)


def _conv_transpose_forward(x: Array, kernel: Array, *how) -> tuple[Array, tuple[Array, Array]]:
    return _conv_transpose(x, kernel, *how), (x, kernel)


def _conv_transpose_backward(
    extent: Ints, strides: Ints, padding: Pairs, saved: tuple[Array, Array], g: Array
) -> tuple[Array, Array]:
    x, kernel = saved

    def forward(kernel: Array) -> Array:
        return _conv(g, kernel, strides, padding, (1,) * len(extent), 1)

    dx, pull = jax.vjp(forward, kernel)  # <transpose(x, k), g> = <x, conv(g, k)>
    return dx, *pull(x)


_conv_transpose.defvjp(_conv_transpose_forward, _conv_transpose_backward)


def max_pool(x: Array, window: Ints, strides: Ints, padding: Pairs) -> Array:
    """The largest value of each window: by blocks on CPU where the windows tile the input."""
    plain = partial(plain_max_pool, window=window, strides=strides, padding=padding)
    if not _tiles(window, strides, padding):
        return plain(x)
    return lax.platform_dependent(x, cpu=partial(blocks_max_pool, window=window), default=plain)


def sum_pool(x: Array, window: Ints, strides: Ints, padding: Pairs) -> Array:
    """The sum of each window: by blocks where the windows tile the input, else plain."""
    if _tiles(window, strides, padding):
        return blocks_sum_pool(x, window)
    return plain_sum_pool(x, window, strides, padding)


def avg_pool(x: Array, window: Ints, strides: Ints, padding: Pairs) -> Array:
    """The mean of each window: by blocks where the windows tile the input, else plain."""
    if _tiles(window, strides, padding):
        return blocks_avg_pool(x, window)
    return plain_avg_pool(x, window, strides, padding)


def _tiles(window: Ints, strides: Ints, padding: Pairs) -> bool:
    return window == strides and not any(map(any, padding))
