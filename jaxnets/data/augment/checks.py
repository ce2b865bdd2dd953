"""Checks and conversions that augmentations share."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array

Augment = Callable[[Array, Array, Array], tuple[Array, Array]]


def check_images(augmentation: str, x: Array) -> None:
    """Raise unless x is a batch of images."""
    if x.ndim != 4:
        raise ValueError(
            f"{augmentation} expects images (batch, height, width, channels), but got {x.shape}; "
            "add an axis, as in x[..., None]"
        )


def as_dtype(values: Array, dtype: Any) -> Array:
    """The values cast to `dtype`, rounded to the nearest integer if it is an integer dtype."""
    return (values if jnp.issubdtype(dtype, jnp.floating) else jnp.rint(values)).astype(dtype)
