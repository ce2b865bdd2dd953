"""The data sets of the page: points in the square from -6 to 6, MNIST digits, users' tables."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from jaxnets.data import Split, load, toy
from jaxnets.playground.options import (
    DIGITS,
    INPUTS,
    POINTS,
    TABLE,
    UNITS,
    Options,
    OptionsError,
    slots,
)
from jaxnets.playground.tables import Table
from jaxnets.playground.user_table import components, from_user_table


class Points(NamedTuple):
    """The points of a data set, and rows of zeros after them.

    Attributes:
      x: the inputs, float32 (500, 8).
      y: the labels, float32 (500, 1): class numbers, or the values of a regression.
      count: the number of points for training, which come first.
      total: the number of points.
      classes: the names of the classes; empty in a regression.
    """

    x: np.ndarray
    y: np.ndarray
    count: int
    total: int
    classes: tuple[str, ...] = ()

    @property
    def outputs(self) -> int:
        """The outputs of a network: one per class, if there are more than two."""
        return len(self.classes) if len(self.classes) > 2 else 1


def make_points(options: Options, tables: Mapping[str, Table] | None = None) -> Points:
    """The points for these settings; a user's table is looked up by name in `tables`.

    Raises:
      OptionsError: the table is missing, or cannot be used with these settings.
    """
    if options.data == TABLE:
        return _table_points(options, tables or {})
    count, classes = options.train_count, ("0", "1")
    if options.data in DIGITS:
        classes = tuple(map(str, DIGITS[options.data]))
        x, y = digits(DIGITS[options.data], options.noise, options.seed, count)
    elif options.task == "classification":
        x, y = getattr(toy, options.data)(POINTS, noise=options.noise, seed=options.seed)
        x = features(x)
    else:
        x, y = REGRESSIONS[options.data](options.noise, options.seed)
        x, classes = features(x), ()
    return Points(x, np.asarray(y, np.float32)[:, None], count, POINTS, classes)


def _table_points(options: Options, tables: Mapping[str, Table]) -> Points:
    table = tables.get(options.table)
    if table is None:
        raise OptionsError(
            "the playground expects a table, but has received none of this name since it started; "
            "choose its file again"
        )
    with table.errors():
        x, y, count, classes = from_user_table(
            *(table.path, options.target, options.columns),
            **{name: getattr(options, name) for name in ("task", "noise", "seed", "share")},
        )
    if count < options.batch:
        raise OptionsError(
            f"the training part of {table.name} expects at least one batch of {options.batch} "
            f"points, but has {count}; lower the batch size or raise the training share"
        )
    x = features(x) if options.columns else x
    (padded_x, padded_y), rows = (np.zeros((POINTS, n), np.float32) for n in (UNITS, 1)), len(x)
    padded_x[:rows], padded_y[:rows, 0] = x, y
    return Points(padded_x, padded_y, count, rows, classes)


def features(x: np.ndarray) -> np.ndarray:
    """The features of points (n, 2), float32 (n, 8); the last is 0."""
    x1, x2 = x.T
    return np.stack([x1, x2, x1**2, x2**2, x1 * x2, np.sin(x1), np.sin(x2), 0 * x1], 1)


def make_grid(options: Options, side: int) -> np.ndarray:
    """The inputs at the centres of side x side cells of the square, row by row from the top."""
    axis = (np.arange(side, dtype=np.float32) + 0.5) * 12 / side - 6
    x2, x1 = np.meshgrid(-axis, axis, indexing="ij")
    points = np.stack([x1.ravel(), x2.ravel()], 1)
    if slots(options) == INPUTS:  # the plane of the first two components, where the others are 0
        return np.pad(points, ((0, 0), (0, UNITS - 2)))
    return features(points)


@cache
def training_images() -> Split:
    """The training images of MNIST, which are read once."""
    return load("mnist").train


def digits(
    classes: Sequence[int], noise: float, seed: int, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Eight principal components of 500 images of some digits of MNIST, and which digit each is.

    Normal noise with a standard deviation of 4 * noise is added to the components.

    Returns:
      float32 (500, 8), and int32 (500,), the index of the digit in `classes`.
    """
    split, rng = training_images(), np.random.default_rng(seed)
    rows = rng.permutation(np.flatnonzero(np.isin(split.y, classes)))[:POINTS]
    x = components(split.x[rows].reshape(POINTS, -1) / 255.0, count)
    x += 4 * noise * rng.standard_normal(x.shape)
    return x.astype(np.float32), np.searchsorted(classes, split.y[rows]).astype(np.int32)


def _uniform(noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Points of a square of side 12, and the noisy positions that give their labels."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-6, 6, (POINTS, 2))
    return x.astype(np.float32), x + noise * rng.uniform(-6, 6, (POINTS, 2))


def plane(noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The label grows along the diagonal, from -1 to 1."""
    x, moved = _uniform(noise, seed)
    return x, np.clip(moved.sum(1) / 10, -1, 1)


def hills(noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three hills and three valleys: cones of radius 2, in two rows, which do not overlap."""
    x, moved = _uniform(noise, seed)
    centres = np.array([(-4, 2.5), (0, 2.5), (4, 2.5), (-4, -2.5), (0, -2.5), (4, -2.5)])
    heights = np.array([1, -1, 1, -1, 1, -1])
    distance = np.linalg.norm(moved[:, None] - centres, axis=2)
    values = heights * np.clip(1 - distance / 2, 0, 1)
    return x, np.take_along_axis(values, np.abs(values).argmax(1)[:, None], 1)[:, 0]


REGRESSIONS = {"plane": plane, "hills": hills}
