"""Convolution as one matmul over patches: forward, input gradient and kernel gradient.

On CPU, XLA's convolution inside a loop takes a slow path: several times slower in the forward pass,
and up to forty times for the kernel gradient. Copying patches and one matmul is far faster.
"""

import itertools
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.dtypes import wide_dtype
from jaxnets.layer import Array
from jaxnets.lowering.padding import Ints, Pairs
from jaxnets.lowering.taps import taps


@partial(jax.jit, static_argnums=(2, 3, 4, 5))
def patches_conv(
    x: Array, kernel: Array, strides: Ints, padding: Pairs, dilation: Ints, groups: int
) -> Array:
    """Cross-correlation: patches (n, taps, groups, channels) times kernel, summed over taps."""
    patches = _patches(x, kernel.shape[:-2], strides, padding, dilation)
    if groups == 1:  # one matmul; for the general form XLA would first transpose the patches
        y = patches.reshape(-1, patches.shape[-1]) @ kernel.reshape(patches.shape[-1], -1)
    else:
        grouped = _grouped_patches(patches, kernel, groups)
        y = jnp.einsum("ntgc,tcgf->ngf", grouped, _grouped_kernel(kernel, groups))
    return y.reshape(*patches.shape[:-1], kernel.shape[-1])


@partial(jax.jit, static_argnums=(1, 3, 4, 5, 6))
def input_gradient(
    g: Array,
    extent: Ints,
    kernel: Array,
    strides: Ints,
    padding: Pairs,
    dilation: Ints,
    groups: int,
) -> Array:
    """The transposed convolution of g, to a spatial shape of `extent`, as a sum over taps."""
    if groups == 1:
        columns = g.reshape(-1, g.shape[-1]) @ kernel.reshape(-1, kernel.shape[-1]).T
    else:
        grouped = g.reshape(-1, groups, g.shape[-1] // groups)
        columns = jnp.einsum("ngf,tcgf->ntgc", grouped, _grouped_kernel(kernel, groups))
    taps = math.prod(kernel.shape[:-2])
    columns = columns.reshape(*g.shape[:-1], taps, groups * kernel.shape[-2])
    wide = wide_dtype(g.dtype)  # bfloat16 would round after every tap
    dx = jnp.zeros((), wide)
    for number, tap in enumerate(itertools.product(*map(range, kernel.shape[:-2]))):
        edges = [(0, 0, 0), (0, 0, 0)]
        for n, m, t, s, d, (before, _) in zip(
            g.shape[1:-1], extent, tap, strides, dilation, padding, strict=True
        ):
            first = t * d - before
            edges.insert(-1, (first, m - first - (n - 1) * s - 1, s - 1))
        dx += lax.pad(columns[..., number, :].astype(wide), wide.type(0), edges)
    return dx.astype(g.dtype)


@partial(jax.jit, static_argnums=(3, 4, 5, 6))
def kernel_gradient(
    g: Array, x: Array, kernel: Array, strides: Ints, padding: Pairs, dilation: Ints, groups: int
) -> Array:
    """The patches, transposed, times g: one matmul over all positions of all examples."""
    patches = _patches(x, kernel.shape[:-2], strides, padding, dilation)
    if groups == 1:
        y = patches.reshape(-1, patches.shape[-1]).T @ g.reshape(-1, kernel.shape[-1])
    else:
        g = g.reshape(-1, groups, kernel.shape[-1] // groups)
        y = jnp.einsum("ntgc,ngf->tcgf", _grouped_patches(patches, kernel, groups), g)
    return y.reshape(kernel.shape)


def patches_bytes(x: Any, kernel: Any, strides: Ints) -> int:
    """An upper bound of the patches' size in bytes, from the shapes of the arguments."""
    positions = math.prod(x.shape[:-1]) // math.prod(strides)
    return positions * math.prod(kernel.shape[:-2]) * x.shape[-1] * x.dtype.itemsize


def _patches(x: Array, size: Ints, strides: Ints, padding: Pairs, dilation: Ints) -> Array:
    """The inputs of each output position: (batch, *space, taps * channels)."""
    return jnp.concatenate(taps(x, size, strides, padding, dilation), axis=-1)


def _grouped_patches(patches: Array, kernel: Array, groups: int) -> Array:
    """(positions, taps, groups, channels)."""
    return patches.reshape(-1, math.prod(kernel.shape[:-2]), groups, kernel.shape[-2])


def _grouped_kernel(kernel: Array, groups: int) -> Array:
    """(taps, channels, groups, features): the features of a group are adjacent, as in XLA."""
    return kernel.reshape(-1, kernel.shape[-2], groups, kernel.shape[-1] // groups)
