"""The table that chooses: XLA's plain operations, except on CPU where another way is faster.

`lax.platform_dependent` decides when the program is lowered, so one traced program suits every
backend. The CPU's ways have a backward pass of their own, hence no forward-mode derivative; the
plain ways have both.
"""

from collections.abc import Callable
from functools import partial

import jax
from jax import lax

from jaxnets.layer import Array
from jaxnets.lowering import patches
from jaxnets.lowering.blocks import blocks_avg_pool, blocks_max_pool
from jaxnets.lowering.padding import Pairs
from jaxnets.lowering.plain import plain_avg_pool, plain_conv, plain_max_pool

Ints = tuple[int, ...]

PATCHES_LIMIT = 2**28  # bytes: beyond it a CPU's memory, not its arithmetic, sets the pace


def conv(
    x: Array, kernel: Array, strides: Ints, padding: Pairs, dilation: Ints, groups: int
) -> Array:
    """Cross-correlation: by patches on CPU while they fit in memory, else plain."""
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
        dx = patches.input_gradient(g, x, kernel, *how)
        return dx, patches.kernel_gradient(g, x, kernel, *how)

    def plain(g: Array, x: Array, kernel: Array) -> tuple[Array, Array]:
        return jax.vjp(lambda x, kernel: plain_conv(x, kernel, *how), x, kernel)[1](g)

    return lax.platform_dependent(g, *saved, cpu=by_patches, default=plain)


_conv.defvjp(_conv_forward, _conv_backward)


def max_pool(x: Array, window: Ints, strides: Ints, padding: Pairs) -> Array:
    """The largest value of each window: by blocks on CPU where the windows tile the input."""
    plain = partial(plain_max_pool, window=window, strides=strides, padding=padding)
    if not _tiles(window, strides, padding):
        return plain(x)
    return lax.platform_dependent(x, cpu=partial(blocks_max_pool, window=window), default=plain)


def avg_pool(x: Array, window: Ints, strides: Ints, padding: Pairs) -> Array:
    """The mean of each window: by blocks where the windows tile the input, else plain."""
    if _tiles(window, strides, padding):
        return blocks_avg_pool(x, window)
    return plain_avg_pool(x, window, strides, padding)


def _tiles(window: Ints, strides: Ints, padding: Pairs) -> bool:
    return window == strides and not any(map(any, padding))
