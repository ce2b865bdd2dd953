"""Convolutions of stride 1 on images (height, width, batch, channels), as one matmul each."""

import math

import jax.numpy as jnp
from jax import lax

from jaxnets.layer import Array
from jaxnets.lowering.materialize import materialize_gradient
from jaxnets.lowering.padding import Pairs
from jaxnets.lowering.taps import taps

ONES = (1, 1)


def pointwise_conv(x: Array, kernel: Array, padding: Pairs) -> Array:
    """A matmul over channels, for a kernel of one tap."""
    del padding
    return x @ kernel[0, 0]


def hwnc_patches_conv(x: Array, kernel: Array, padding: Pairs) -> Array:
    """One matmul over patches, for few channels."""
    *size, _, features = kernel.shape
    patches = jnp.stack(taps(x.transpose(3, 0, 1, 2), tuple(size), ONES, padding, ONES))
    space = patches.shape[2:]  # height, width, batch
    columns = patches.reshape(-1, math.prod(space))
    weights = kernel.reshape(len(columns), features)
    y = lax.dot_general(columns, weights, (((0,), (0,)), ((), ())))
    return materialize_gradient(y.reshape(*space, features))
