"""Random splits into training and validation rows."""

from typing import Any

import numpy as np

from jaxnets.arrays import as_split
from jaxnets.checks import as_integers
from jaxnets.data.dataset import Split
from jaxnets.data.stream import Stream
from jaxnets.errors import DataError
from jaxnets.messages import printable


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


def split_by_class(split: Any, share: float, *, seed: int) -> tuple[Any, Any]:
    """Hold out a share of each class: (rest, held_out), each in the original row order.

    At least one row of each class is held out, and at least one is not. The same seed holds out the
    same rows. The split is a pair (x, y) with class numbers y, or a `Stream` with labels, such as
    those of `from_folder` and `from_dataset`.

    Raises:
      DataError: the share is not between 0 and 1, or a class has only one row.
    """
    if isinstance(split, Stream):
        if split.labels is None:
            raise DataError(
                "split_by_class expects a stream with labels, but got one without; pass "
                "data.Stream(source, labels=y)"
            )
        held_out = held_out_rows("split_by_class", split.labels, share, seed)
        return split.take(np.flatnonzero(~held_out)), split.take(np.flatnonzero(held_out))
    x, y = map(np.asarray, as_split("split_by_class", "split", split, DataError))
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
        raise DataError(
            f"split_by_class expects class numbers (n,), but got {y.dtype}{list(y.shape)}; use "
            "train_test_split for other labels"
        )
    held_out = held_out_rows("split_by_class", y, share, seed)
    return Split(x[~held_out], y[~held_out]), Split(x[held_out], y[held_out])


def held_out_rows(
    where: str,
    y: np.ndarray,
    share: Any,
    seed: int,
    *,
    name: str = "share",
    classes: tuple[str, ...] = (),
) -> np.ndarray:
    """Which rows are held out, bool (n,): the share of each class, or of all rows without classes.

    Args:
      where: the function that was called.
      y: integers are class numbers; other labels have no classes.
      share: a number between 0 and 1.
      seed: the same seed holds out the same rows.
      name: the name of the argument `share` of that function.
      classes: names of the classes, for errors.

    Raises:
      DataError: the share or the seed is invalid, or there is only one row (of a class).
    """
    [seed] = as_integers(where, at_least=0, error=DataError, seed=seed)
    if isinstance(share, bool) or not isinstance(share, float) or not 0 < share < 1:
        raise DataError(
            f"{where} expects {name} as a share between 0 and 1 to hold out, but got {share!r}; "
            f"pass {name}=0.2"
        )
    random, held_out = np.random.Generator(np.random.PCG64(seed)), np.zeros(len(y), bool)
    has_classes = np.issubdtype(y.dtype, np.integer)
    group = y if has_classes else np.zeros(len(y), int)
    for number in np.unique(group):
        rows = np.flatnonzero(group == number)
        if len(rows) < 2:
            if not has_classes:
                raise DataError(
                    f"{where} expects at least 2 examples, one of them to hold out, but got 1; add "
                    "examples"
                )
            which = printable(repr(classes[number])) if classes else f"class {number}"
            raise DataError(
                f"{where} expects at least 2 examples of each class, one of them to hold out, but "
                f"got 1 of {which}; add examples, or remove the class"
            )
        count = min(max(round(share * len(rows)), 1), len(rows) - 1)
        held_out[random.permutation(rows)[:count]] = True
    return held_out
