"""Scales the columns of a table, and one-hot encodes labels."""

from typing import Any, NamedTuple

import numpy as np

from jaxnets.arrays import as_rows
from jaxnets.errors import DataError


class Scaling(NamedTuple):
    """A linear map per column, (x - center) / scale, fitted by `fit_standard` or `fit_range`.

    `apply` and `invert` return the dtype of x if it is a float, else float32.
    """

    center: np.ndarray  # float64, one row's shape
    scale: np.ndarray  # float64, one row's shape

    def __call__(self, x: Any) -> np.ndarray:
        """`apply`, as a data set's `preprocess` is called."""
        return self.apply(x)

    def apply(self, x: Any) -> np.ndarray:
        """Scale the rows x (n, ...), of any split."""
        x = self._rows("apply", x)
        return ((x - self.center) / self.scale).astype(_float_dtype(x))

    def invert(self, x: Any) -> np.ndarray:
        """The inverse of `apply`, for example for predictions of a scaled target."""
        x = self._rows("invert", x)
        return (x * self.scale + self.center).astype(_float_dtype(x))

    def _rows(self, method: str, x: Any) -> np.ndarray:
        x = np.asarray(as_rows(f"Scaling.{method}", "the rows", x, DataError, wide=True))
        if x.shape[1:] != self.center.shape:
            raise DataError(
                f"Scaling.{method} expects rows of the shape it was fitted on, "
                f"{self.center.shape}, but got {x.shape}; fit again, or pass x[None] for one row."
            )
        return x


def fit_standard(x: Any) -> Scaling:
    """Fit a scaling of each column of x (n, ...) to mean 0 and variance 1 (ddof=0).

    Equivalent to scikit-learn's StandardScaler. Constant columns are mapped to 0.

    Raises:
      DataError: x has no rows, or a value that is not finite.
    """
    x, low, high = _columns("fit_standard", x)
    constant = low == high
    center = np.where(constant, low, x.mean(0, dtype=np.float64))
    return Scaling(center, np.where(constant, 1, x.std(0, dtype=np.float64)))


def fit_range(x: Any, low: float = 0.0, high: float = 1.0) -> Scaling:
    """Fit a scaling of each column of x (n, ...) to [0, 1], or to [-1, 1]: `fit_range(x, -1, 1)`.

    Equivalent to scikit-learn's MinMaxScaler: the smallest value of a column is mapped to `low` and
    the largest to `high`; values outside this range are mapped outside [low, high]. Constant
    columns are mapped to `low`.

    Raises:
      DataError: x has no rows or a value that is not finite, or `low` is not less than `high`.
    """
    if not -np.inf < low < high < np.inf:
        raise DataError(f"fit_range expects finite low < high, but got {low!r} and {high!r}.")
    _, smallest, largest = _columns("fit_range", x)
    width = np.where(smallest == largest, 1, largest - smallest)
    scale = width / (high - low)
    return Scaling(smallest - low * scale, scale)


def one_hot(labels: Any, n_classes: int) -> np.ndarray:
    """Class numbers (...) as rows of float32 (..., n_classes), 1 at the class and 0 elsewhere.

    In NumPy, for use before training; inside `jit` use `jax.nn.one_hot`.

    >>> one_hot(4, 10)
    array([0., 0., 0., 0., 1., 0., 0., 0., 0., 0.], dtype=float32)

    Raises:
      DataError: the labels are not integers, or one is outside 0 .. n_classes - 1.
    """
    labels = np.asarray(labels)
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(
            f"one_hot expects integer labels, but got {labels.dtype}; number the classes first, "
            f"with np.unique(labels, return_inverse=True)."
        )
    if np.any(outside := (labels < 0) | (labels >= n_classes)):
        index = np.argwhere(outside)[0].tolist()
        raise DataError(
            f"one_hot expects labels from 0 to {n_classes - 1}, but got {labels[outside][0]} at "
            f"{index}; raise n_classes or number the classes from 0."
        )
    return (labels[..., None] == np.arange(n_classes)).astype(np.float32)


def _columns(name: str, x: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows x, and the smallest and largest value of each column as float64."""
    x = np.asarray(as_rows(name, "the rows", x, DataError, wide=True))
    if len(x) == 0:
        raise DataError(f"{name} expects rows (n, ...), at least one, but got {x.shape}.")
    low, high = (np.asarray(bound, np.float64) for bound in (x.min(0), x.max(0)))
    if not np.all(finite := np.isfinite(low) & np.isfinite(high)):
        raise DataError(
            f"{name} expects finite values, but got NaN or infinity in column "
            f"{np.argwhere(~finite)[0].tolist()}; drop or fill those rows."
        )
    return x, low, high


def _float_dtype(x: np.ndarray) -> Any:
    return x.dtype if np.issubdtype(x.dtype, np.floating) else np.float32
