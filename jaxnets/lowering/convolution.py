"""Convolution and its transpose, each by the implementation that `dispatch` chooses.

`lax.platform_dependent` chooses when the program is lowered, so that one traced program runs on
every backend. Convolution by patches has a custom backward pass and no forward-mode derivative; the
other implementations have both modes.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
from jax import lax

from jaxnets.layer import Array
from jaxnets.lowering import patches
from jaxnets.lowering.dispatch import Convolution, choose, patches_fit
from jaxnets.lowering.padding import Ints, Pairs
from jaxnets.lowering.plain import plain_conv, plain_conv_transpose
from jaxnets.lowering.plain_context import needs_plain


def conv(
    x: Array, kernel: Array, strides: Ints, padding: Pairs, dilation: Ints, groups: int
) -> Array:
    """Cross-correlation of (batch, *space, channels) with (*size, channels / groups, features)."""
    options = (strides, padding, dilation, groups)
    if needs_plain(x):
        return plain_conv(x, kernel, *options)
    implementation = choose("cpu", Convolution.of_arrays(x, kernel, *options))
    if implementation is plain_conv:
        return plain_conv(x, kernel, *options)
    if implementation is patches.patches_conv:
        return _conv(x, kernel, *options)
    chosen, plain = (_bind(convolve, *options) for convolve in (implementation, plain_conv))
    return lax.platform_dependent(x, kernel, cpu=chosen, default=plain)


def _bind(convolve: Any, *options: Any) -> Callable[[Array, Array], Array]:
    return lambda x, kernel: convolve(x, kernel, *options)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def _conv(
    x: Array, kernel: Array, strides: Ints, padding: Pairs, dilation: Ints, groups: int
) -> Array:
    options = (strides, padding, dilation, groups)
    by_patches, plain = _bind(patches.patches_conv, *options), _bind(plain_conv, *options)
    return lax.platform_dependent(x, kernel, cpu=by_patches, default=plain)


def _conv_forward(x: Array, kernel: Array, *options) -> tuple[Array, tuple[Array, Array]]:
    return _conv(x, kernel, *options), (x, kernel)


def _conv_backward(
    strides: Ints, padding: Pairs, dilation: Ints, groups: int, saved: tuple[Array, Array], g: Array
) -> tuple[Array, Array]:
    options = (strides, padding, dilation, groups)

    def by_patches(g: Array, x: Array, kernel: Array) -> tuple[Array, Array]:
        dx = patches.input_gradient(g, x.shape[1:-1], kernel, *options)
        return dx, patches.kernel_gradient(g, x, kernel, *options)

    def plain(g: Array, x: Array, kernel: Array) -> tuple[Array, Array]:
        return jax.vjp(lambda x, kernel: plain_conv(x, kernel, *options), x, kernel)[1](g)

    return lax.platform_dependent(g, *saved, cpu=by_patches, default=plain)


_conv.defvjp(_conv_forward, _conv_backward)


def conv_transpose(
    x: Array,
    kernel: Array,
    extent: Ints,
    strides: Ints,
    padding: Pairs,
    dilation: Ints,
    groups: int,
) -> Array:
    """The transpose of `conv` with the same kernel, to a spatial shape of `extent`."""
    size = math.prod(x.shape[:-1] + kernel.shape[:-1]) * groups * x.dtype.itemsize
    is_plain = needs_plain(x) or not patches_fit(size)
    implementation = plain_conv_transpose if is_plain else _conv_transpose
    return implementation(x, kernel, extent, strides, padding, dilation, groups)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5, 6))
def _conv_transpose(
    x: Array,
    kernel: Array,
    extent: Ints,
    strides: Ints,
    padding: Pairs,
    dilation: Ints,
    groups: int,
) -> Array:
    options = (strides, padding, dilation, groups)

    def by_patches(x: Array, kernel: Array) -> Array:
        return patches.input_gradient(x, extent, kernel, *options)

    def plain(x: Array, kernel: Array) -> Array:
        return plain_conv_transpose(x, kernel, extent, *options)

    return lax.platform_dependent(x, kernel, cpu=by_patches, default=plain)


def _conv_transpose_forward(x: Array, kernel: Array, *options) -> tuple[Array, tuple[Array, Array]]:
    return _conv_transpose(x, kernel, *options), (x, kernel)


def _conv_transpose_backward(
    extent: Ints,
    strides: Ints,
    padding: Pairs,
    dilation: Ints,
    groups: int,
    saved: tuple[Array, Array],
    g: Array,
) -> tuple[Array, Array]:
    del extent
    x, kernel = saved

    def forward(kernel: Array) -> Array:
        return _conv(g, kernel, strides, padding, dilation, groups)

    dx, vjp = jax.vjp(forward, kernel)  # <transpose(x, k), g> = <x, conv(g, k)>
    return dx, *vjp(x)


_conv_transpose.defvjp(_conv_transpose_forward, _conv_transpose_backward)
