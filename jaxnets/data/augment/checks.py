"""Checks of what an augmentation is made with and given."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.core import Tracer

Augment = Callable[[Array, Array, Array], tuple[Array, Array]]


def whole(augmentation: str, at_least: int = 0, **sizes: Any) -> None:
    """Refuse a number of pixels or classes that is no integer, or is too small."""
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < at_least:
            raise ValueError(
                f"{augmentation} expects {name} to be an integer of at least {at_least}, but got "
                f"{size!r}"
            )


def within(augmentation: str, low: float, high: float, **strengths: Any) -> None:
    """Refuse a strength outside [low, high]; a traced one passes, as its value is not known yet."""
    for name, strength in strengths.items():
        if not isinstance(strength, Tracer) and not low <= strength <= high:
            raise ValueError(
                f"{augmentation} expects {name} from {low:g} to {high:g}, but got {strength!r}"
            )


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
