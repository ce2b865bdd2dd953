"""Random splits into training and validation rows."""

from typing import Any

import numpy as np

from jaxnets.arrays import as_split
from jaxnets.checks import as_integers
from jaxnets.data.dataset import Split
from jaxnets.errors import DataError


def train_test_split(split: tuple[Any, Any], size: int, *, seed: int) -> tuple[Split, Split]:
    """Hold out `size` random rows of a split: (rest, held_out), each in the original row order.

    The same seed holds out the same rows. Raises DataError unless the split is a pair (x, y),
    1 <= size < rows and seed >= 0.
    """
    x, y = map(np.asarray, as_split("train_test_split", "split", split, DataError))
    [seed] = as_integers("train_test_split", at_least=0, error=DataError, seed=seed)
    if isinstance(size, float):
        raise DataError(
            f"train_test_split expects a number of rows, but got the fraction {size!r}; pass "
            f"int({size!r} * len(x))"
        )
    [size] = as_integers("train_test_split", error=DataError, size=size)
    if not 1 <= size < len(y):
        raise DataError(
            f"train_test_split expects a size of 1 to {len(y) - 1} rows, but got {size}; hold "
            f"out fewer rows"
        )
    rows = np.random.Generator(np.random.PCG64(seed)).permutation(len(y))[:size]
    held_out = np.isin(np.arange(len(y)), rows)
    return Split(x[~held_out], y[~held_out]), Split(x[held_out], y[held_out])
