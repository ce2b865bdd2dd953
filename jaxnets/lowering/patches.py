"""Convolution as one matmul over patches: forward, input gradient and kernel gradient.

On CPU, XLA runs a convolution inside a loop on a slow path: several times slower forward and up
to forty times for the kernel gradient. A copy into patches and one matmul is far cheaper.
"""

import itertools
import math

import jax.numpy as jnp
from jax import lax

from jaxnets.layer import Array
from jaxnets.lowering.padding import Pairs

Ints = tuple[int, ...]


def patches_conv(
    x: Array, kernel: Array, strides: Ints, padding: Pairs, dilation: Ints, groups: int
) -> Array:
    """Cross-correlation: patches (n, taps, groups, channels) times kernel, summed over taps."""
    patches = _patches(x, kernel.shape[:-2], strides, padding, dilation)
    if groups == 1:  # a bare matmul: for the general form XLA would first transpose the patches
        y = patches.reshape(-1, patches.shape[-1]) @ kernel.reshape(patches.shape[-1], -1)
    else:
        grouped = _grouped_patches(patches, kernel, groups)
        y = jnp.einsum("ntgc,tcgf->ngf", grouped, _grouped_kernel(kernel, groups))
    return y.reshape(*patches.shape[:-1], kernel.shape[-1])


def input_gradient(
    g: Array, x: Array, kernel: Array, strides: Ints, padding: Pairs, dilation: Ints, groups: int
) -> Array:
    """The transposed convolution of g: spread by the strides, against the turned kernel."""
    spatial = tuple(range(kernel.ndim - 2))
    *size, inputs, _ = kernel.shape
    turned = jnp.flip(_grouped_kernel(kernel, groups), 0).swapaxes(1, 3)
    turned = turned.reshape(*size, -1, groups * inputs)
    pairs = []
    for axis in spatial:
        reach = (size[axis] - 1) * dilation[axis]
        spread = (g.shape[1 + axis] - 1) * strides[axis] + 1
        before = reach - padding[axis][0]
        pairs.append((before, x.shape[1 + axis] + reach - spread - before))
    edges = [
        (before, after, step - 1) for (before, after), step in zip(pairs, strides, strict=True)
    ]
    g = lax.pad(g, g.dtype.type(0), [(0, 0, 0), *edges, (0, 0, 0)])
    return patches_conv(g, turned, (1,) * len(size), ((0, 0),) * len(size), dilation, groups)


def kernel_gradient(
    g: Array, x: Array, kernel: Array, strides: Ints, padding: Pairs, dilation: Ints, groups: int
) -> Array:
    """Patches transposed times g, one matmul over every position of every example."""
    patches = _patches(x, kernel.shape[:-2], strides, padding, dilation)
    if groups == 1:
        y = patches.reshape(-1, patches.shape[-1]).T @ g.reshape(-1, kernel.shape[-1])
    else:
        g = g.reshape(-1, groups, kernel.shape[-1] // groups)
        y = jnp.einsum("ntgc,ngf->tcgf", _grouped_patches(patches, kernel, groups), g)
    return y.reshape(kernel.shape)


def patches_bytes(x: Array, kernel: Array, strides: Ints) -> int:
    """An upper bound of the memory that the patches take."""
    positions = math.prod(x.shape[:-1]) // math.prod(strides)
    return positions * math.prod(kernel.shape[:-2]) * x.shape[-1] * x.dtype.itemsize


def _patches(x: Array, size: Ints, strides: Ints, padding: Pairs, dilation: Ints) -> Array:
    """Each output position's inputs, tap by tap: (batch, *space, taps * channels)."""
    x = lax.pad(x, x.dtype.type(0), [(0, 0, 0), *((*pair, 0) for pair in padding), (0, 0, 0)])
    reach = [(n - 1) * d for n, d in zip(size, dilation, strict=True)]
    space = tuple(
        (n - r - 1) // s + 1 for n, r, s in zip(x.shape[1:-1], reach, strides, strict=True)
    )
    taps = []
    for tap in itertools.product(*map(range, size)):
        first = [t * d for t, d in zip(tap, dilation, strict=True)]
        last = [f + (n - 1) * s + 1 for f, n, s in zip(first, space, strides, strict=True)]
        window = lax.slice(x, (0, *first, 0), (x.shape[0], *last, x.shape[-1]), (1, *strides, 1))
        taps.append(window)
    return jnp.concatenate(taps, axis=-1)


def _grouped_patches(patches: Array, kernel: Array, groups: int) -> Array:
    """(positions, taps, groups, channels)."""
    return patches.reshape(-1, math.prod(kernel.shape[:-2]), groups, kernel.shape[-2])


def _grouped_kernel(kernel: Array, groups: int) -> Array:
    """(taps, channels, groups, features): a group's features stand together, as in XLA."""
    return kernel.reshape(-1, kernel.shape[-2], groups, kernel.shape[-1] // groups)
