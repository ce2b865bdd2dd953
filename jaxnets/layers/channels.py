"""One number a channel against an array of any rank: the one broadcast that layers need."""

from typing import Any

import jax.numpy as jnp

from jaxnets.layer import Array


def per_channel(values: Any, x: Array) -> Array:
    """`values` (channels,) with axes of one in front, so that it broadcasts to `x` explicitly."""
    values = jnp.asarray(values)
    return values.reshape((1,) * (x.ndim - values.ndim) + values.shape)
