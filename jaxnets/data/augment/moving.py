"""Images moved by whole pixels, cropped and mirrored: no pixel changes its value."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxnets.checks import as_integers, check_range
from jaxnets.data.augment.checks import Augment, images


def shift(pixels: int) -> Augment:
    """Moves each image by -pixels .. pixels along each axis.

    Every whole-pixel move is equally likely; what moves in from outside is 0. It is the random
    crop from an image padded by so many pixels; He et al. 2016, section 4.2, have 4.

    Raises:
      ValueError: `pixels` is negative or no integer.
    """
    as_integers("shift", at_least=0, pixels=pixels)

    def augment(key: Array, x: Array, y: Array) -> tuple[Array, Array]:
        images("shift", x)
        return _windows(key, x, x.shape[1:3], pixels), y

    return augment


def crop(height: int, width: int, *, padding: int = 0) -> Augment:
    """Cuts a window of height x width out of each image padded by `padding` zeros on each side.

    Every place is equally likely. The model has to take such windows and, in evaluation, whole
    images; where the two are to be of one size, use `shift`. Source: Krizhevsky et al. 2012,
    section 4.1, with 224 of 256 pixels.

    Raises:
      ValueError: a size that is no positive integer, a negative padding, or a window that is larger
        than the padded image.
    """
    as_integers("crop", height=height, width=width)
    as_integers("crop", at_least=0, padding=padding)

    def augment(key: Array, x: Array, y: Array) -> tuple[Array, Array]:
        images("crop", x)
        rows, columns = (side + 2 * padding for side in x.shape[1:3])
        if height > rows or width > columns:
            raise ValueError(
                f"crop expects a window of at most {rows} x {columns} pixels for images "
                f"{x.shape} with padding={padding}, but got {height} x {width}; pad more or cut "
                "less"
            )
        return _windows(key, x, (height, width), padding), y

    return augment


def flip(rate: float | Array = 0.5) -> Augment:
    """Mirrors each image left to right with probability `rate`.

    Raises:
      ValueError: `rate` outside [0, 1].
    """
    check_range("flip", 0, 1, rate=rate)

    def augment(key: Array, x: Array, y: Array) -> tuple[Array, Array]:
        images("flip", x)
        mirrored = jax.random.bernoulli(key, rate, (len(x), 1, 1, 1))
        return jnp.where(mirrored, x[:, :, ::-1], x), y

    return augment


def _windows(key: Array, x: Array, size: tuple[int, ...], padding: int) -> Array:
    """A window of each padded image, anywhere."""
    edge = (padding, padding)
    padded = jnp.pad(x, ((0, 0), edge, edge, (0, 0)))
    places = [[whole - part + 1 for whole, part in zip(padded.shape[1:3], size, strict=True)]]
    corners = jax.random.randint(key, (len(x), 2), 0, jnp.array(places))

    def window(image: Array, corner: Array) -> Array:
        return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), (*size, x.shape[3]))

    return jax.vmap(window)(padded, corners)
