"""Parts of images made 0."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxnets.checks import as_integers, check_range
from jaxnets.data.augment.checks import Augment, images


def cutout(size: int) -> Augment:
    """Makes a square of `size` x `size` pixels of each image 0.

    Its middle is any pixel, so that it may reach over the border. Source: DeVries & Taylor 2017,
    section 3.2. Where the data are not centred 0 is black, and not their mean as in the paper.

    Raises:
      ValueError: `size` is negative or no integer.
    """
    as_integers("cutout", at_least=0, size=size)

    def augment(key: Array, x: Array, y: Array) -> tuple[Array, Array]:
        images("cutout", x)
        middle = jax.random.randint(key, (len(x), 2), 0, jnp.array([x.shape[1:3]]))
        return _blanked(x, middle - size // 2, jnp.full_like(middle, size)), y

    return augment


def erase(
    rate: float | Array = 0.5, *, area: tuple[float, float] = (0.02, 0.4), aspect: float = 0.3
) -> Augment:
    """Makes a rectangle inside of each image 0, with probability `rate`.

    Source: Zhong et al. 2020, "Random erasing", algorithm 1, with 0 for the noise. They draw until
    a rectangle fits; here its sides are cut to the image's, and then it may be anywhere inside.

    Args:
      rate: the probability.
      area: the smallest and largest share of the image, before the sides are rounded.
      aspect: height over width is from this to 1 / this, as likely tall as wide.

    Raises:
      ValueError: `rate` outside [0, 1], areas that are not 0 <= smallest <= largest <= 1, or an
        aspect outside [0.01, 1].
    """
    check_range("erase", 0, 1, rate=rate)
    smallest, largest = area
    check_range("erase", 0, 1, **{"the largest area": largest})
    check_range("erase", 0, largest, **{"the smallest area": smallest})
    check_range("erase", 0.01, 1, aspect=aspect)

    def augment(key: Array, x: Array, y: Array) -> tuple[Array, Array]:
        images("erase", x)
        sides = jnp.array([x.shape[1:3]])
        drawn = jax.random.uniform(key, (len(x), 5))
        share = smallest + (largest - smallest) * drawn[:, :1]
        root = aspect ** (drawn[:, 1:2] - 0.5)  # of the aspect, from its root to 1 / its root
        lengths = jnp.sqrt(share * sides.prod()) * jnp.concatenate([root, 1 / root], axis=1)
        lengths = jnp.clip(jnp.rint(lengths).astype(jnp.int32), 1, sides)
        corner = jnp.floor(drawn[:, 2:4] * (sides - lengths + 1)).astype(jnp.int32)
        return _blanked(x, corner, jnp.where(drawn[:, 4:] < rate, lengths, 0)), y

    return augment


def _blanked(x: Array, corner: Array, lengths: Array) -> Array:
    """Each image with 0 in a rectangle; corner and lengths (batch, 2), row first."""

    def covered(axis: int) -> Array:
        at = jnp.arange(x.shape[1 + axis])[None]
        first, length = corner[:, axis, None], lengths[:, axis, None]
        return (at >= first) & (at < first + length)

    rectangle = covered(0)[:, :, None, None] & covered(1)[:, None, :, None]
    return jnp.where(rectangle, jnp.zeros_like(x), x)
