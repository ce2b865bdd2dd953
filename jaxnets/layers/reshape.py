"""Plain functions that change the form of an input and own nothing."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp

from jaxnets.layer import Array
from jaxnets.layers.channels import per_channel


def flatten(x: Array) -> Array:
    """All axes after the batch as one: (batch, ...) to (batch, features)."""
    return x.reshape(x.shape[0], -1)


def scale_pixels(
    mean: float | Sequence[float] = 0.0, std: float | Sequence[float] = 1.0
) -> Callable[[Array], Array]:
    """Pixels in 0..255 as float32 (x / 255 - mean) / std, with `mean` and `std` by channel."""

    def scale(x: Array) -> Array:
        return (x.astype(jnp.float32) / 255 - per_channel(mean, x)) / per_channel(std, x)

    return scale
