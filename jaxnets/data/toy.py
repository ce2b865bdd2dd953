"""Two-dimensional toy data: the data sets of the TensorFlow Playground, and Gaussian blobs.

Source: https://github.com/tensorflow/playground, dataset.ts. Its slider shows `noise` in percent,
0 to 50. Its labels are -1 and +1; here they are 0 and 1.
"""

from typing import Any

import numpy as np

from jaxnets.checks import as_integers
from jaxnets.data.dataset import Split
from jaxnets.errors import DataError


def circle(n: int, *, noise: float = 0.0, seed: int) -> Split:
    """A disc (label 1) of radius 2.5 inside a ring (label 0) of radii 3.5 to 5.

    Noise changes labels, not points: each point gets the label of a random position that is up
    to 5 * noise away along each axis.

    Args:
      n: the number of points; if it is odd, one more point is inside.
      noise: 0 to 0.5 in the Playground.
      seed: the same seed gives the same points.

    Returns:
      x, float32 (n, 2), and y, int32 (n,), in random order, as for the other data sets here.

    Raises:
      DataError: `n` is not a positive integer, `noise` is negative or not finite, or `seed` is
        negative.
    """
    rng = _generator("circle", n, seed, noise=noise)
    inside = _two_classes(n) == 1
    radius = np.where(inside, rng.uniform(0, 2.5, n), rng.uniform(3.5, 5, n))
    x = _polar(radius, rng.uniform(0, 2 * np.pi, n))
    moved = x + noise * rng.uniform(-5, 5, (n, 2))
    return _shuffled(rng, x, np.hypot(*moved.T) < 2.5)


def xor(n: int, *, noise: float = 0.0, seed: int) -> Split:
    """A square of side 10.6 about 0: label 1 where the coordinates have the same sign.

    No point is within 0.3 of an axis. Noise changes labels, not points: each point gets the label
    of a random position that is up to 5 * noise away along each axis. Arguments, result and errors
    as for `circle`.
    """
    rng = _generator("xor", n, seed, noise=noise)
    x = rng.uniform(-5, 5, (n, 2))
    x += np.where(x > 0, 0.3, -0.3)
    moved = x + noise * rng.uniform(-5, 5, (n, 2))
    return _shuffled(rng, x, moved.prod(1) >= 0)


def gauss(n: int, *, noise: float = 0.0, seed: int) -> Split:
    """Two isotropic Gaussians, label 1 at (2, 2) and label 0 at (-2, -2).

    The variance along each axis is 0.5 + 7 * noise. Arguments, result and errors as for `circle`.
    """
    rng = _generator("gauss", n, seed, noise=noise)
    y = _two_classes(n)
    mean = np.where(y == 1, 2, -2)[:, None]
    return _shuffled(rng, mean + np.sqrt(0.5 + 7 * noise) * rng.normal(size=(n, 2)), y)


def spiral(n: int, *, noise: float = 0.0, seed: int) -> Split:
    """Two arms of 1.75 turns, evenly spaced along the radius from 0 to 5, half a turn apart.

    Noise moves each point by up to `noise` along each axis. Arguments, result and errors as for
    `circle`.
    """
    rng = _generator("spiral", n, seed, noise=noise)
    y = _two_classes(n)
    t = np.concatenate([np.arange(count) / count for count in np.bincount(1 - y)])
    x = _polar(5 * t, 2 * np.pi * 1.75 * t + np.where(y == 1, 0, np.pi))
    return _shuffled(rng, x + noise * rng.uniform(-1, 1, (n, 2)), y)


def points(n: int, centers: Any, *, std: float = 1.0, seed: int) -> Split:
    """Isotropic Gaussian blobs, one per class, of equal size up to one point.

    Args:
      n: the total number of points.
      centers: (classes, 2), the centre of each class.
      std: the standard deviation along each axis.
      seed: the same seed gives the same points.

    Returns:
      x, float32 (n, 2), and y, int32 (n,), the row of `centers`, in random order.

    Raises:
      DataError: as for `circle`, or `centers` is not (classes, 2).
    """
    rng = _generator("points", n, seed, std=std)
    centers = np.asarray(centers, np.float64)
    if centers.ndim != 2 or centers.shape[1] != 2 or len(centers) == 0:
        raise DataError(
            f"points expects centers of shape (classes, 2), but got {centers.shape}; for a single "
            f"center pass [[x, y]]."
        )
    y = np.arange(n) % len(centers)
    return _shuffled(rng, centers[y] + std * rng.normal(size=(n, 2)), y)


def _generator(name: str, n: int, seed: int, **scales: float) -> np.random.Generator:
    as_integers(name, error=DataError, n=n)
    for argument, value in scales.items():
        if not 0 <= value < np.inf:
            raise DataError(f"{name} expects a finite {argument} of 0 or more, but got {value!r}.")
    if seed < 0:
        raise DataError(f"{name} expects a seed of 0 or more, but got {seed}.")
    return np.random.Generator(np.random.PCG64(seed))


def _two_classes(n: int) -> np.ndarray:
    """Labels: 1 for the first half of `n` points, rounded up, and 0 for the rest."""
    return (np.arange(n) < (n + 1) // 2).astype(np.int64)


def _polar(radius: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Points (n, 2); the angle, in radians, is clockwise from the positive second axis."""
    return np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=1)


def _shuffled(rng: np.random.Generator, x: np.ndarray, y: np.ndarray) -> Split:
    order = rng.permutation(len(y))
    return Split(x[order].astype(np.float32), y[order].astype(np.int32))
