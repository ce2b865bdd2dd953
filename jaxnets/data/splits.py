"""Holding rows out of a split, for validation."""

import operator
from typing import Any

import numpy as np

from jaxnets.arrays import as_split
from jaxnets.data.dataset import DataError, Split


def holdout(split: tuple[Any, Any], size: int, *, seed: int) -> tuple[Split, Split]:
    """Take `size` random rows out of a split: (rest, held_out), each in the split's row order.

    The two are disjoint and together hold every row; the same seed takes the same rows. Raises
    DataError unless the split is a pair (x, y), 1 <= size < rows and seed >= 0.
    """
    x, y = map(np.asarray, as_split("holdout", "split", split, DataError))
    size, seed = _integer("size", size), _integer("seed", seed)
    if not 1 <= size < len(y):
        raise DataError(f"holdout expects a size of 1 to {len(y) - 1} rows, but got {size}.")
    if seed < 0:
        raise DataError(f"holdout expects a seed of 0 or more, but got {seed}.")
    chosen = np.random.Generator(np.random.PCG64(seed)).permutation(len(y))[:size]
    held_out = np.isin(np.arange(len(y)), chosen)
    return Split(x[~held_out], y[~held_out]), Split(x[held_out], y[held_out])


def _integer(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise DataError(
            f"holdout expects {name} to be an integer, but got {value!r}; a share of the rows is "
            "int(share * len(x))."
        ) from None
