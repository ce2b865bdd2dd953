"""Rotation, scale, shear and shift in one interpolation."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxnets.checks import check_range
from jaxnets.data.augment.checks import Augment, as_dtype, check_images


def affine(
    *,
    rotation: float | Array = 0.0,
    scale: float | Array = 0.0,
    shear: float | Array = 0.0,
    shift: float | Array = 0.0,
) -> Augment:
    """Randomly shears, rotates and scales each image about its centre, then shifts it.

    Each argument is the maximum change c; the change of an image is uniform in [-c, c].

    Args:
      rotation: in degrees.
      scale: the relative change of size; 0.1 is 0.9 to 1.1 times as large.
      shear: the angle of the columns, in degrees.
      shift: in pixels along each axis; not rounded to whole pixels.

    Raises:
      ValueError: rotation outside [0, 180], scale outside [0, 0.9], shear outside [0, 80], or a
        negative or infinite shift.
    """
    check_range("affine", 0, 180, rotation=rotation)
    check_range("affine", 0, 0.9, scale=scale)
    check_range("affine", 0, 80, shear=shear)
    check_range("affine", 0, 1e6, shift=shift)

    def augment(key: Array, x: Array, y: Array) -> tuple[Array, Array]:
        check_images("affine", x)
        uniform = jax.random.uniform(key, (len(x), 5), minval=-1.0).T
        matrix = _inverse(
            jnp.deg2rad(rotation * uniform[0]),
            1 + scale * uniform[1],
            jnp.tan(jnp.deg2rad(shear * uniform[2])),
        )
        center = jnp.array([[(side - 1) / 2 for side in x.shape[1:3]]])
        offset = center - jnp.einsum("nij,nj->ni", matrix, center + shift * uniform[3:].T)
        return warp(x, matrix, offset), y

    return augment


def _inverse(angle: Array, size: Array, lean: Array) -> Array:
    """The inverses (batch, 2, 2) of size * rotation(angle) @ [[1, 0], [lean, 1]], rows first."""
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    rows = [[cos, sin], [-lean * cos - sin, cos - lean * sin]]
    return jnp.moveaxis(jnp.array(rows) / size[None, None], -1, 0)


def warp(x: Array, matrix: Array, offset: Array) -> Array:
    """Samples each image bilinearly at `matrix @ (row, column) + offset`, with 0 outside the image.

    Equivalent to `scipy.ndimage.affine_transform` with order 1 and mode "grid-constant". The image
    is padded, and one gather reads each of the four neighbours of every pixel.

    Args:
      x: images (batch, height, width, channels).
      matrix: (batch, 2, 2), from a position in the result to the position in the image.
      offset: (batch, 2), in pixels.

    Returns:
      Images of x's shape and dtype.
    """
    batch, height, width, channels = x.shape
    row, column = jnp.arange(height)[None, :, None], jnp.arange(width)[None, None, :]

    def split(axis: int, side: int) -> tuple[Array, Array]:
        """The position's integer part, as an index into the padded image, and its fraction."""
        a, b, start = (v[:, None, None] for v in (*matrix[:, axis].T, offset[:, axis]))
        position = jnp.clip(a * row + b * column + start, -1, side)  # 0 at -1 and at `side`
        floor = jnp.minimum(jnp.floor(position), side - 1)
        return floor.astype(jnp.int32) + 1, (position - floor)[..., None]

    (top, down), (left, right) = split(0, height), split(1, width)
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
