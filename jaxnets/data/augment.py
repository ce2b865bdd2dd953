"""Augmentation on the device: `augment(key, x, y) -> (x, y)`, pure, inside the compiled step."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array


def shift(pixels: int) -> Callable[[Array, Array, Array], tuple[Array, Array]]:
    """Moves each image of (batch, height, width, channels) by -pixels .. pixels along each axis.

    Every whole-pixel move is equally likely; what moves in from outside is 0. Labels are kept.

    Raises:
      ValueError: `pixels` is no positive integer.
    """
    if not isinstance(pixels, int) or pixels < 1:
        raise ValueError(f"shift expects a positive number of pixels, but got {pixels!r}")

    def augment(key: Array, x: Array, y: Array) -> tuple[Array, Array]:
        edge = (pixels, pixels)
        padded = jnp.pad(x, ((0, 0), edge, edge, (0, 0)))
        offsets = jax.random.randint(key, (x.shape[0], 2), 0, 2 * pixels + 1)

        def crop(image: Array, offset: Array) -> Array:
            return jax.lax.dynamic_slice(image, (offset[0], offset[1], 0), x.shape[1:])

        return jax.vmap(crop)(padded, offsets), y

    return augment
