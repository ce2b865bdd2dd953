"""One number a channel against an array of any rank: the one broadcast that layers need."""

from typing import Any

import jax.numpy as jnp

from jaxnets.dtypes import wide_dtype
from jaxnets.layer import Array


def per_channel(values: Any, x: Array) -> Array:
    """`values` (channels,) with axes of one in front, so that it broadcasts to `x` explicitly."""
    values = jnp.asarray(values)
    return values.reshape((1,) * (x.ndim - values.ndim) + values.shape)


def add_bias(y: Array, bias: Array) -> Array:
    """`y + bias` by channel, in the dtype of `y`.

    The sum is wide, so that the bias's gradient, a sum over all examples, is not in 16 bits.
    """
    return (y + per_channel(bias, y).astype(wide_dtype(y.dtype))).astype(y.dtype)
