"""Checks of what an augmentation is made with and given."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array

Augment = Callable[[Array, Array, Array], tuple[Array, Array]]


def images(augmentation: str, x: Array) -> None:
    """Refuse what is no batch of images."""
    if x.ndim != 4:
        raise ValueError(
            f"{augmentation} expects images (batch, height, width, channels), but got {x.shape}; "
            "add an axis, as x[..., None] does for one channel"
        )


def as_dtype(values: Array, dtype: Any) -> Array:
    """Values in a dtype that has room for them, to the nearest where it is one of integers."""
    return (values if jnp.issubdtype(dtype, jnp.floating) else jnp.rint(values)).astype(dtype)
