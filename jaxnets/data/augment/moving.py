"""Shift, crop and flip, without interpolation."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxnets.checks import as_integers, check_range
from jaxnets.data.augment.checks import Augment, check_images


def shift(pixels: int) -> Augment:
    """Shifts each image by -pixels .. pixels along each axis, filling with 0.

    All integer shifts are equally likely. This is a random crop of the original size from the
    padded image; He et al. 2016, section 4.2, pad by 4.

    Raises:
      ValueError: `pixels` is negative or not an integer.
    """
    as_integers("shift", at_least=0, pixels=pixels)

    def augment(key: Array, x: Array, y: Array) -> tuple[Array, Array]:
        check_images("shift", x)
        return _windows(key, x, x.shape[1:3], pixels), y

    return augment


def crop(height: int, width: int, *, padding: int = 0) -> Augment:
    """Crops a random height x width window from each image padded by `padding` zeros per side.

    All positions are equally likely. The model must accept the windows in training and whole images
    in evaluation; to keep the size use `shift`. Source: Krizhevsky et al. 2012, section 4.1, with
    224 of 256 pixels.

    Raises:
      ValueError: a size that is not a positive integer, a negative padding, or a window that is
        larger than the padded image.
    """
    as_integers("crop", height=height, width=width)
    as_integers("crop", at_least=0, padding=padding)

    def augment(key: Array, x: Array, y: Array) -> tuple[Array, Array]:
        check_images("crop", x)
        rows, columns = (side + 2 * padding for side in x.shape[1:3])
        if height > rows or width > columns:
            raise ValueError(
                f"crop expects a window of at most {rows} x {columns} pixels for images "
                f"{x.shape} with padding={padding}, but got {height} x {width}; pad more, or use "
                "a smaller window"
            )
        return _windows(key, x, (height, width), padding), y

    return augment


def flip(rate: float | Array = 0.5) -> Augment:
    """Flips each image horizontally with probability `rate`.

    Raises:
      ValueError: `rate` outside [0, 1].
    """
    check_range("flip", 0, 1, rate=rate)

    def augment(key: Array, x: Array, y: Array) -> tuple[Array, Array]:
        check_images("flip", x)
        flipped = jax.random.bernoulli(key, rate, (len(x), 1, 1, 1))
        return jnp.where(flipped, x[:, :, ::-1], x), y

    return augment


def _windows(key: Array, x: Array, size: tuple[int, ...], padding: int) -> Array:
    """A window at a random position of each padded image."""
    edge = (padding, padding)
    padded = jnp.pad(x, ((0, 0), edge, edge, (0, 0)))
    positions = [[side - length + 1 for side, length in zip(padded.shape[1:3], size, strict=True)]]
    corners = jax.random.randint(key, (len(x), 2), 0, jnp.array(positions))

    def window(image: Array, corner: Array) -> Array:
        return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), (*size, x.shape[3]))

    return jax.vmap(window)(padded, corners)
