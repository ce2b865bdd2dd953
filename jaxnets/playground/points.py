"""The data sets of the page: points in the square from -6 to 6."""

from typing import NamedTuple

import numpy as np

from jaxnets.data import toy
from jaxnets.playground.options import POINTS, Options


class Points(NamedTuple):
    """Points (500, 2) and labels (500, 1), float32; the first `count` are for training."""

    x: np.ndarray
    y: np.ndarray
    count: int


def make_points(options: Options) -> Points:
    """The points of these settings; a label is 0 or 1, or a number from -1 to 1 for regression."""
    if options.task == "classification":
        x, y = getattr(toy, options.data)(POINTS, noise=options.noise, seed=options.seed)
    else:
        x, y = REGRESSIONS[options.data](options.noise, options.seed)
    return Points(x, np.asarray(y, np.float32)[:, None], options.train_count)


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
