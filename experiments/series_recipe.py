"""The recipe of `experiments.time_series`: its networks, and what is done to the series."""

from typing import Any

import numpy as np

from jaxnets import Layer, models
from jaxnets.data import Dataset, Scaling, Series, Split, fit_standard
from jaxnets.models.series import SIZES
from jaxnets.training import RunError

LAST_MAPS = {"fcn": "relu3", "resnet1d": "block3"}  # the layer before the mean over time


def build(network: str, classes: int, width: int, kernels: tuple[int, int, int]) -> Layer:
    """The network with `width` kernels in its first convolution; the paper has 128 (FCN) or 64.

    `kernels` are the lengths of the three convolutions in a row; only the FCN has a choice.
    """
    if network == "fcn":
        return models.fcn(classes, (width, 2 * width, width), kernels)
    if kernels != SIZES:
        raise RunError(
            f"--kernels expects {SIZES} with --network {network}, but got {kernels}; choose other "
            "lengths with --network fcn"
        )
    return models.resnet1d(classes, (width, 2 * width, 2 * width))


def prepare(dataset: Dataset[Series], longest: int) -> Dataset[Split]:
    """The data set with both splits, scaled by the training values and stretched to one length.

    Every channel gets mean 0 and variance 1 over the training cases. Every series is stretched to
    the longest of the training series, but to `longest` values at most, by linear interpolation.
    """
    train, test = dataset.train, dataset.test
    length = min(train.values.shape[1], longest)
    scaling = fit_standard(train.values[_is_value(train)])

    def split(series: Series) -> Split:
        return Split(stretched(scaled(series, scaling), length), series.y)

    return Dataset(split(train), split(test), *dataset[2:])


def scaled(series: Series, scaling: Scaling) -> Series:
    """The same series with scaled values; the padding stays 0."""
    values, is_value = np.zeros_like(series.values), _is_value(series)
    values[is_value] = scaling.apply(series.values[is_value])
    return Series(values, series.lengths, series.y, series.classes)


def stretched(series: Series, length: int) -> np.ndarray:
    """(n, length, channels): each series at `length` points from its first to its last value."""
    at = np.linspace(0, series.lengths - 1, length, axis=1)  # (n, length)
    before = np.minimum(at.astype(int), np.maximum(series.lengths - 2, 0)[:, None])
    after = np.minimum(before + 1, series.lengths[:, None] - 1)
    rows, share = np.arange(len(at))[:, None], (at - before)[..., None]
    values = series.values[rows, before] * (1 - share) + series.values[rows, after] * share
    return values.astype(np.float32)


def folds(y: np.ndarray, n: int, seed: int) -> np.ndarray:
    """The fold of each case, 0 to n - 1, stratified: class counts differ by at most one."""
    rng, numbers = np.random.default_rng(seed), np.zeros(len(y), int)
    for label in np.unique(y):
        rows = rng.permutation(np.flatnonzero(y == label))
        numbers[rows] = (np.arange(len(rows)) + rng.integers(n)) % n
    return numbers


def _is_value(series: Series) -> Any:
    """(n, time): whether there is a value, and not padding."""
    return np.arange(series.values.shape[1]) < series.lengths[:, None]
