"""A table as a data set: one column is predicted from numbers, categories and missing values."""

import difflib
import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from jaxnets.data.dataset import Dataset, Split, read_only
from jaxnets.data.readers.columns import Table, read_table
from jaxnets.data.readers.encoder import Category, Number, TableEncoder
from jaxnets.data.readers.kinds import Refused, Values, kind_of
from jaxnets.data.splits import held_out_rows
from jaxnets.errors import DataError
from jaxnets.messages import printable

FEW = 20  # a numeric target can be classes if it has at most this many distinct integers


def from_table(
    table: Any,
    target: str,
    *,
    task: Literal["classification", "regression"] | None = None,
    drop: Sequence[str] = (),
    categories: Sequence[str] = (),
    test: Any = 0.2,
    seed: int = 0,
) -> Dataset:
    """A data set of the rows of a table, to predict one of its columns from the others.

    Numbers are scaled to mean 0 and variance 1 over the training rows; true and false are such
    numbers. Text is one-hot encoded, with at most 100 categories per column. A missing number
    becomes the mean, and 1 in an additional input; a missing category, an additional category.
    Columns of dates, infinities, text with more categories or a single value are refused, all in
    one error.
    `dataset.preprocess` encodes new rows in the same way, see `TableEncoder`:

        loans = data.from_table("loans.csv", target="approved")
        applicant = {"age": 23, "gender": "male", "salary": 30_000, "debt": None}
        predict(train_step, result.train_state, loans.preprocess(applicant))  # of loans.classes

    The categories, and which columns may have missing values, are those of all rows. A CSV file has
    names in its first line, in UTF-8, with any of `,;|` or tabs between values; empty, NA, N/A,
    NaN, null and ? are missing. Tables are read as a whole.

    Args:
      table: the path of a .csv, .tsv or .parquet file (which needs pyarrow), a frame of pandas or
        polars, a table of pyarrow, or a dict of columns.
      target: the name of the column to predict.
      task: by default, "regression" if the target has numbers, unless they are at most 20 different
        whole ones; else "classification".
      drop: names of columns to leave out.
      categories: names of columns whose numbers are codes, such as postcodes.
      test: the share to hold out as `dataset.test`, in classification of each class; or another
        table with the same columns.
      seed: determines which rows are held out.

    Returns:
      The data set; x is float32 (n, inputs). In classification y is int32 (n,), an index into the
      sorted classes; in regression it is float32 (n, 1), scaled like the numbers, and
      `dataset.preprocess.decode` converts a model's outputs back.

    Raises:
      DataError: the table cannot be read, columns or the target cannot be encoded, or there are too
        few rows to hold out some.
    """
    where = "from_table"
    read = read_table(where, table)
    _check_options(where, read, target, task, drop, categories)
    is_table = isinstance(test, str | os.PathLike | Mapping) or hasattr(test, "columns")
    whole, rows = read, len(read.columns[target])
    if is_table:
        whole = _append(where, read, read_table(where, test))
    y, classes = _read_target(where, whole, target, task, target in categories)
    names = [name for name in read.columns if name not in (target, *drop)]
    kinds = _read_kinds(where, whole, names, categories)
    if is_table:
        held_out = np.arange(len(y)) >= rows
    else:
        held_out = held_out_rows(where, y, test, seed, name="test", classes=classes)
    columns = tuple(_fit(name, values, ~held_out) for name, values in kinds.items())
    scaling = None if classes else _mean_and_std(y[~held_out])
    encoder = TableEncoder(columns, target, scaling)
    x = encoder({name: whole.columns[name] for name in names})
    if scaling is not None:
        y = ((y - scaling[0]) / scaling[1]).astype(np.float32)[:, None]
    return Dataset(
        *(Split(read_only(x[part]), read_only(y[part])) for part in (~held_out, held_out)),
        name=read.name,
        source=whole.source,
        checksums=whole.checksums,
        classes=classes,
        preprocess=encoder,
    )


def _check_options(
    where: str, table: Table, target: Any, task: Any, drop: Any, categories: Any
) -> None:
    """Raise for an unknown task, and for names that are not columns."""
    if task not in (None, "classification", "regression"):
        raise DataError(
            f'{where} expects task="classification" or "regression", but got {task!r}; leave it out'
        )
    for option, names in (("target", [target]), ("drop", drop), ("categories", categories)):
        if isinstance(names, str):
            raise DataError(
                f"{where} expects {option} as a list of names, but got {names!r}; pass [{names!r}]"
            )
        for name in names:
            if name not in table.columns:
                close = difflib.get_close_matches(str(name), table.columns, n=1)
                cure = f"did you mean {close[0]!r}?" if close else "pass one of them"
                raise DataError(
                    f"{where} expects {option} as the name of a column, one of "
                    f"{printable([*table.columns])}, but got {name!r}; {printable(cure)}"
                )
    if target in drop or len(table.columns) - len({*drop}) < 2:
        raise DataError(
            f"{where} expects at least one column besides the target {target!r}, but got "
            f"{printable([name for name in table.columns if name not in drop])}; drop fewer"
        )


def _append(where: str, table: Table, test: Table) -> Table:
    """Both tables as one; raises if their columns differ."""
    if differing := sorted({*table.columns} ^ {*test.columns}):
        raise DataError(
            f"{where} expects the same columns in both tables, but only one of them has "
            f"{printable(differing)}; add or remove them"
        )
    if table.is_text != test.is_text:
        raise DataError(f"{where} expects two CSV files or none; read both in the same way")
    return table._replace(
        columns={name: values + test.columns[name] for name, values in table.columns.items()},
        source=f"{table.source} and {test.source}",
        checksums={f"{part}/{name}": digest
                   for part, each in (("train", table), ("test", test))
                   for name, digest in each.checksums.items()},
    )  # fmt: skip


def _read_target(
    where: str, table: Table, target: str, task: str | None, is_code: bool
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The target, int32 (n,) with the names of its classes, or float64 (n,) and no names."""
    shown = printable(repr(target))
    values = table.columns[target]
    if None in values:
        raise DataError(
            f"{where} expects the target {shown} in each row, but it is missing in "
            f"{values.count(None)} of {len(values)} rows, first in row {values.index(None) + 1}; "
            "drop these rows"
        )
    try:
        kind, present = kind_of(table, target, as_category=is_code)
    except Refused as error:
        raise DataError(f"{where} cannot predict {shown}, which {error}") from None
    distinct = np.unique(present)
    if len(distinct) < 2:
        raise DataError(
            f"{where} expects a target with at least two classes or values, but {shown} is always "
            f"{printable(distinct[0])}; add rows with others"
        )
    whole = kind == "number" and len(distinct) <= FEW and not np.any(distinct % 1)
    if kind == "number" and (task == "regression" or (task is None and not whole)):
        return present, ()
    if task == "regression" or (kind == "number" and not whole):
        wanted = "numbers" if task == "regression" else f"at most {FEW} different integers"
        raise DataError(
            f"{where} expects {wanted} as the target of a {task}, but {shown} has "
            f"{len(distinct)} values, such as {printable(distinct[0])}; change task"
        )
    names = distinct if kind == "category" else distinct.astype(int)
    classes = ("false", "true") if kind == "boolean" else tuple(map(str, names))
    return np.searchsorted(distinct, present).astype(np.int32), classes


def _read_kinds(
    where: str, table: Table, names: list[str], categories: Sequence[str]
) -> dict[str, Values]:
    """The kind and the values of each column; raises one error that lists those refused."""
    kinds, refused = {}, []
    for name in names:
        try:
            kinds[name] = kind_of(table, name, as_category=name in categories)
            if not kinds[name].missing.any() and len(np.unique(kinds[name].values)) == 1:
                raise Refused(f"is always {printable(kinds[name].values[0])}; drop it")
        except Refused as error:
            refused.append(f"{printable(repr(name))} {error}")
    if refused:
        raise DataError(
            f"{where} cannot encode {len(refused)} of {len(names)} columns (to leave columns out, "
            f"pass drop=[...]): {'. '.join(refused)}"
        )
    return kinds


def _fit(name: str, column: Values, rows: np.ndarray) -> Number | Category:
    """The encoding of a column; its mean and standard deviation are those of these rows."""
    missing = bool(column.missing.any())
    if column.kind == "category":
        present = {value for value in column.values if value is not None}
        return Category(name, tuple(sorted(present)), missing)
    return Number(name, *_mean_and_std(column.values[rows & ~column.missing]), missing)


def _mean_and_std(values: np.ndarray) -> tuple[float, float]:
    """The mean and the standard deviation, which is 1 for constant or no values."""
    if not values.size:
        return 0.0, 1.0
    std = float(values.std())
    return float(values.mean()), std if std > 0 else 1.0
