"""Holding rows out of a split, for validation."""

import numpy as np

from jaxnets.data.dataset import DataError, Split


def holdout(split: Split, size: int, *, seed: int) -> tuple[Split, Split]:
    """Take `size` random rows out of a split: (rest, held_out), each in the split's row order.

    The two are disjoint and together hold every row; the same seed takes the same rows. Raises
    DataError unless 1 <= size < rows and seed >= 0.
    """
    rows = len(split.y)
    if len(split.x) != rows:
        raise DataError(f"holdout expects one label an image, but got {rows} for {len(split.x)}.")
    if not 1 <= size < rows:
        raise DataError(f"holdout expects a size of 1 to {rows - 1} rows, but got {size}.")
    if seed < 0:
        raise DataError(f"holdout expects a seed of 0 or more, but got {seed}.")
    chosen = np.random.Generator(np.random.PCG64(seed)).permutation(rows)[:size]
    held_out = np.isin(np.arange(rows), chosen)
    return Split(*(part[~held_out] for part in split)), Split(*(part[held_out] for part in split))
