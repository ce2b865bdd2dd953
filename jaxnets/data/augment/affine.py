"""Rotation, scale, shear and shift in one interpolation."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxnets.checks import check_range
from jaxnets.data.augment.checks import Augment, as_dtype, images


def affine(
    *,
    rotation: float | Array = 0.0,
    scale: float | Array = 0.0,
    shear: float | Array = 0.0,
    shift: float | Array = 0.0,
) -> Augment:
    """Shears, rotates and scales each image about its middle and then shifts it, in one `warp`.

    Each number is the largest change; what an image gets is drawn evenly between it and minus it.

    Args:
      rotation: degrees.
      scale: change of size: 0.1 is 0.9 to 1.1 times as large.
      shear: degrees that columns lean by.
      shift: pixels along each axis, and parts of pixels.

    Raises:
      ValueError: rotation outside [0, 180], scale outside [0, 0.9], shear outside [0, 80], or a
        negative or infinite shift.
    """
    check_range("affine", 0, 180, rotation=rotation)
    check_range("affine", 0, 0.9, scale=scale)
    check_range("affine", 0, 80, shear=shear)
    check_range("affine", 0, 1e6, shift=shift)

    def augment(key: Array, x: Array, y: Array) -> tuple[Array, Array]:
        images("affine", x)
        drawn = jax.random.uniform(key, (len(x), 5), minval=-1.0).T
        matrix = _inverse(
            jnp.deg2rad(rotation * drawn[0]),
            1 + scale * drawn[1],
            jnp.tan(jnp.deg2rad(shear * drawn[2])),
        )
        middle = jnp.array([[(side - 1) / 2 for side in x.shape[1:3]]])
        offset = middle - jnp.einsum("nij,nj->ni", matrix, middle + shift * drawn[3:].T)
        return warp(x, matrix, offset), y

    return augment


def _inverse(angle: Array, size: Array, lean: Array) -> Array:
    """The inverses (batch, 2, 2) of size * rotation(angle) @ [[1, 0], [lean, 1]], row first."""
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    rows = [[cos, sin], [-lean * cos - sin, cos - lean * sin]]
    return jnp.moveaxis(jnp.array(rows) / size[None, None], -1, 0)


def warp(x: Array, matrix: Array, offset: Array) -> Array:
    """Each image as it is at `matrix @ (row, column) + offset`, bilinear, with 0 outside of it.

    `scipy.ndimage.affine_transform` with order 1 and mode "grid-constant". The four neighbours of
    every pixel are gathered by one index into the padded image.

    Args:
      x: images (batch, height, width, channels).
      matrix: (batch, 2, 2), from a place in the result to the place in the image.
      offset: (batch, 2), in pixels.

    Returns:
      Images of x's shape and dtype.
    """
    batch, height, width, channels = x.shape
    row, column = jnp.arange(height)[None, :, None], jnp.arange(width)[None, None, :]

    def place(axis: int, side: int) -> tuple[Array, Array]:
        """The neighbour before, in the padded image, and how far it is."""
        a, b, start = (v[:, None, None] for v in (*matrix[:, axis].T, offset[:, axis]))
        at = jnp.clip(a * row + b * column + start, -1, side)  # at -1 and at `side` all is 0
        before = jnp.minimum(jnp.floor(at), side - 1)
        return before.astype(jnp.int32) + 1, (at - before)[..., None]

    (top, down), (left, right) = place(0, height), place(1, width)
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    pixels = padded.astype(jnp.promote_types(x.dtype, jnp.float32)).reshape(batch, -1, channels)
    index = top * (width + 2) + left

    def neighbour(step: int) -> Array:
        return jax.vmap(_gather)(pixels, index + step)

    above = neighbour(0) * (1 - right) + neighbour(1) * right
    below = neighbour(width + 2) * (1 - right) + neighbour(width + 3) * right
    return as_dtype(above * (1 - down) + below * down, x.dtype)


def _gather(image: Array, index: Array) -> Array:
    return image.at[index].get(mode="promise_in_bounds")
