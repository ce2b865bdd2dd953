"""The data sets of the page: points in the square from -6 to 6, and digits of MNIST."""

from typing import NamedTuple

import numpy as np

from jaxnets.data import load, toy
from jaxnets.playground.options import DIGITS, POINTS, UNITS, Options


class Points(NamedTuple):
    """Inputs (500, 8) and labels (500, 1), float32; the first `count` are for training."""

    x: np.ndarray
    y: np.ndarray
    count: int


def make_points(options: Options) -> Points:
    """The points of these settings; a label is 0 or 1, or a number from -1 to 1 for regression."""
    if options.data in DIGITS:
        count = options.train_count
        x, y = digits(DIGITS[options.data], options.noise, options.seed, count)
        return Points(x, np.asarray(y, np.float32)[:, None], count)
    if options.task == "classification":
        x, y = getattr(toy, options.data)(POINTS, noise=options.noise, seed=options.seed)
    else:
        x, y = REGRESSIONS[options.data](options.noise, options.seed)
    return Points(features(x), np.asarray(y, np.float32)[:, None], options.train_count)


def features(x: np.ndarray) -> np.ndarray:
    """The features of points (n, 2), float32 (n, 8); the last is 0."""
    x1, x2 = x.T
    return np.stack([x1, x2, x1**2, x2**2, x1 * x2, np.sin(x1), np.sin(x2), 0 * x1], 1)


def make_grid(options: Options, side: int) -> np.ndarray:
    """The inputs at the centres of side x side cells of the square, row by row from the top."""
    axis = (np.arange(side, dtype=np.float32) + 0.5) * 12 / side - 6
    x2, x1 = np.meshgrid(-axis, axis, indexing="ij")
    points = np.stack([x1.ravel(), x2.ravel()], 1)
    if options.data in DIGITS:  # the plane of the first two components, where the others are 0
        return np.pad(points, ((0, 0), (0, UNITS - 2)))
    return features(points)


def digits(
    pair: tuple[int, int], noise: float, seed: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Eight principal components of 500 images of two digits of MNIST, and which digit each is.

    The components are those of the first `count` images, each scaled to a standard deviation of 2
    over them; then normal noise is added, at most as large.

    Returns:
      float32 (500, 8), and int32 (500,), 1 for the second digit.
    """
    split, rng = load("mnist").train, np.random.default_rng(seed)
    rows = rng.permutation(np.flatnonzero(np.isin(split.y, pair)))[:POINTS]
    images = split.x[rows].reshape(POINTS, -1) / 255.0
    centred = images - images[:count].mean(0)
    _, scales, axes = np.linalg.svd(centred[:count], full_matrices=False)
    x = centred @ axes[:UNITS].T * (2 * np.sqrt(count) / scales[:UNITS])
    x += 4 * noise * rng.standard_normal(x.shape)
    return x.astype(np.float32), (split.y[rows] == pair[1]).astype(np.int32)


def _uniform(noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of a square of side 12, and where their labels are read, moved by the noise."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-6, 6, (POINTS, 2))
    return x.astype(np.float32), x + noise * rng.uniform(-6, 6, (POINTS, 2))


def plane(noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The label grows along the diagonal, from -1 to 1."""
    x, moved = _uniform(noise, seed)
    return x, np.clip(moved.sum(1) / 10, -1, 1)


def hills(noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three hills and three valleys: cones of radius 2 in two rows; the steepest counts."""
    x, moved = _uniform(noise, seed)
    centres = np.array([(-4, 2.5), (0, 2.5), (4, 2.5), (-4, -2.5), (0, -2.5), (4, -2.5)])
    heights = np.array([1, -1, 1, -1, 1, -1])
    distance = np.linalg.norm(moved[:, None] - centres, axis=2)
    values = heights * np.clip(1 - distance / 2, 0, 1)
    return x, np.take_along_axis(values, np.abs(values).argmax(1)[:, None], 1)[:, 0]


REGRESSIONS = {"plane": plane, "hills": hills}
