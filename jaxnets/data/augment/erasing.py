"""Cutout and random erasing."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxnets.checks import as_integers, check_range
from jaxnets.data.augment.checks import Augment, check_images


def cutout(size: int) -> Augment:
    """Sets a random square of `size` x `size` pixels of each image to 0.

    Its centre can be any pixel, so that part of it may be outside the image. Source: DeVries &
    Taylor 2017, section 3.2. If the data are not centred, 0 is black instead of the mean.

    Raises:
      ValueError: `size` is negative or not an integer.
    """
    as_integers("cutout", at_least=0, size=size)

    def augment(key: Array, x: Array, y: Array) -> tuple[Array, Array]:
        check_images("cutout", x)
        center = jax.random.randint(key, (len(x), 2), 0, jnp.array([x.shape[1:3]]))
        return _erase(x, center - size // 2, jnp.full_like(center, size)), y

    return augment


def erase(
    rate: float | Array = 0.5, *, area: tuple[float, float] = (0.02, 0.4), aspect: float = 0.3
) -> Augment:
    """Sets a random rectangle inside each image to 0, with probability `rate`.

    Source: Zhong et al. 2020, "Random erasing", algorithm 1, with 0 instead of noise. They sample
    until a rectangle fits; here its sides are clipped to the image's.

    Args:
      rate: the probability.
      area: the smallest and largest fraction of the image's area, before the sides are rounded.
      aspect: height / width is log-uniform between this and 1 / this.

    Raises:
      ValueError: `rate` outside [0, 1], areas that are not 0 <= smallest <= largest <= 1, or an
        aspect outside [0.01, 1].
    """
    check_range("erase", 0, 1, rate=rate)
    smallest, largest = area
    largest_area: dict[str, Any] = {"the largest area": largest}
    smallest_area: dict[str, Any] = {"the smallest area": smallest}
    check_range("erase", 0, 1, **largest_area)
    check_range("erase", 0, largest, **smallest_area)
    check_range("erase", 0.01, 1, aspect=aspect)

    def augment(key: Array, x: Array, y: Array) -> tuple[Array, Array]:
        check_images("erase", x)
        sides = jnp.array([x.shape[1:3]])
        uniform = jax.random.uniform(key, (len(x), 5))
        fraction = smallest + (largest - smallest) * uniform[:, :1]
        root = aspect ** (uniform[:, 1:2] - 0.5)  # the square root of height / width
        lengths = jnp.sqrt(fraction * sides.prod()) * jnp.concatenate([root, 1 / root], axis=1)
        lengths = jnp.clip(jnp.rint(lengths).astype(jnp.int32), 1, sides)
        corner = jnp.floor(uniform[:, 2:4] * (sides - lengths + 1)).astype(jnp.int32)
        return _erase(x, corner, jnp.where(uniform[:, 4:] < rate, lengths, 0)), y

    return augment


def _erase(x: Array, corner: Array, lengths: Array) -> Array:
    """Each image with 0 in a rectangle; corner and lengths (batch, 2), rows first."""

    def mask(axis: int) -> Array:
        position = jnp.arange(x.shape[1 + axis])[None]
        first, length = corner[:, axis, None], lengths[:, axis, None]
        return (position >= first) & (position < first + length)

    rectangle = mask(0)[:, :, None, None] & mask(1)[:, None, :, None]
    return jnp.where(rectangle, jnp.zeros_like(x), x)
