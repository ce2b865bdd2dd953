"""Broadcasts one number per channel to an array of any rank."""

from typing import Any

import jax.numpy as jnp

from jaxnets.dtypes import wide_dtype
from jaxnets.layer import Array


def per_channel(values: Any, x: Array) -> Array:
    """`values` (channels,) with leading axes of length 1, so that its rank is that of `x`."""
    values = jnp.asarray(values)
    return values.reshape((1,) * (x.ndim - values.ndim) + values.shape)


def add_bias(y: Array, bias: Array) -> Array:
    """`y + bias` per channel, in the dtype of `y`.

    The sum is in float32 or wider, and so is the bias's gradient, a sum over all examples.
    """
    return (y + per_channel(bias, y).astype(wide_dtype(y.dtype))).astype(y.dtype)
