"""Points from a user's table."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from jaxnets.data import from_table
from jaxnets.data.readers.columns import Table, read_table
from jaxnets.data.readers.kinds import Refused, kind_of
from jaxnets.errors import DataError
from jaxnets.messages import printable
from jaxnets.playground.options import CLASSES, POINTS, UNITS


class UserTable(NamedTuple):
    """Points from a table; those for training come first.

    Attributes:
      x: float32 (n, 2), two columns, or (n, 8), principal components.
      y: int32 (n,), class numbers, or float32 (n,).
      count: the number of rows for training.
      classes: the names of the classes; empty in a regression.
    """

    x: np.ndarray
    y: np.ndarray
    count: int
    classes: tuple[str, ...]


def usable(table: Table) -> dict[str, tuple[str, np.ndarray]]:
    """The kind and the different values of each column that `from_table` can encode."""
    kinds = {}
    for name in table.columns:
        try:
            kind, values = kind_of(table, name, as_category=False)
        except Refused:
            continue
        present = [value for value in values if value is not None and value == value]
        distinct = np.unique(np.array(present))
        if len(distinct) > 1:
            kinds[name] = (kind, distinct)
    return kinds


def usual_task(kind: str, values: np.ndarray) -> str:
    """The task of predicting a column of this kind with these different values."""
    is_number = kind == "number" and (len(values) > CLASSES or bool(np.any(values % 1)))
    return "regression" if is_number else "classification"


def from_user_table(
    path: str | Path,
    target: str,
    columns: Sequence[str] = (),
    *,
    task: str,
    noise: float,
    seed: int,
    share: int,
) -> UserTable:
    """At most 500 rows of a table as points, by `jaxnets.data.from_table`.

    Columns that it refuses are left out. Over the training rows, the inputs are scaled to a
    standard deviation of 2, and the target of a regression to 1/2; then normal noise with a
    standard deviation of 4 * noise is added to the inputs. A missing number becomes the mean.

    Args:
      path: of the table.
      target: the name of the column to predict.
      columns: the names of two columns of numbers, the inputs; by default, they are the principal
        components of all columns.
      task: "classification" or "regression".
      noise: from 0 to 0.5.
      seed: of the rows that are chosen, and of the noise.
      share: the percentage of the rows that are for training.

    Raises:
      DataError: the table cannot be read, or its columns do not fit these arguments.
    """
    table = read_table("from_table", path)
    kinds = usable(table)
    inputs = [name for name in columns or kinds if name != target]
    drop = [name for name in table.columns if name not in (*inputs, target)]
    test = (100 - share) / 100
    dataset = from_table(path, target, task=cast(Any, task), drop=drop, test=test, seed=seed)
    if len(dataset.classes) > CLASSES:
        raise DataError(
            f"from_table expects a target of at most {CLASSES} classes here, but "
            f"{printable(repr(target))} has {len(dataset.classes)}; choose another"
        )
    rng, sizes = np.random.default_rng(seed), (POINTS * share // 100, POINTS * (100 - share) // 100)
    parts = (dataset.train, dataset.test)
    rows = [rng.permutation(len(part.y))[:n] for part, n in zip(parts, sizes, strict=True)]
    x, y = (
        np.concatenate([part[i][chosen] for part, chosen in zip(parts, rows, strict=True)])
        for i in range(2)
    )
    count = len(rows[0])
    places = _places(columns, dataset.preprocess.inputs)
    x = 2.0 * x[:, places] if columns else components(x, count)
    x = x + 4 * noise * rng.standard_normal(x.shape) * np.any(x, 0)
    y = y if dataset.classes else y[:, 0] / 2
    return UserTable(x.astype(np.float32), y, count, dataset.classes)


def _places(columns: Sequence[str], inputs: Sequence[str]) -> list[int]:
    for name in columns:
        if name not in inputs:
            raise DataError(
                f"from_table expects columns of numbers as the plane, but {printable(repr(name))} "
                "has categories or is the target; choose another, or principal components"
            )
    return [inputs.index(name) for name in columns]


def components(x: np.ndarray, count: int) -> np.ndarray:
    """The first eight principal components of x (n, inputs), float64 (n, 8); 0 if there are fewer.

    They are those of the first `count` rows, scaled to a standard deviation of 2 over them.
    """
    centred = x - x[:count].mean(0, dtype=np.float64)
    _, scales, axes = np.linalg.svd(centred[:count], full_matrices=False)
    number = min(UNITS, int((scales > 1e-6 * max(scales[0], 1e-6)).sum()))
    result = np.zeros((len(x), UNITS))
    result[:, :number] = centred @ axes[:number].T * (2 * np.sqrt(count) / scales[:number])
    return result
