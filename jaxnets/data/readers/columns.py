"""Reads tables as columns: CSV without any package, Parquet, and the frames of other libraries."""

import csv
import hashlib
import io
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxnets.errors import DataError
from jaxnets.files import regular_file
from jaxnets.messages import printable

DELIMITERS = ",;\t|"
MISSING = {"", "na", "n/a", "nan", "null", "?"}  # in CSV, in any case
Columns = dict[str, list[Any]]  # of None, bool, int, float, str, or anything that is refused later


class Table(NamedTuple):
    """A table, and where it comes from.

    Attributes:
      columns: the values by column, all of one length; None where a value is missing.
      is_text: whether numbers are still text, as in CSV.
      name: of the file, or "table".
      source: a description.
      checksums: the SHA-256 of the file, or of each column.
    """

    columns: Columns
    is_text: bool
    name: str
    source: str
    checksums: dict[str, str]


def read_table(where: str, table: Any) -> Table:
    """A table from a path, a frame of pandas or polars, pyarrow's table, or a dict of columns.

    Raises:
      DataError: it cannot be read, has no rows, or has no names or the same name for two columns.
    """
    if isinstance(table, str | os.PathLike):
        return _read_file(where, Path(os.path.expanduser(table)))
    names, columns = _frame(where, table)
    names = [name if isinstance(name, str) else str(name) for name in names]
    columns = _check(where, "the table", names, columns)
    checksums = {
        name: hashlib.sha256(repr(values).encode()).hexdigest() for name, values in columns.items()
    }
    rows = len(next(iter(columns.values())))
    source = f"a {type(table).__name__} of {rows} rows in memory"
    return Table(columns, False, "table", source, checksums)


def _read_file(where: str, path: Path) -> Table:
    suffix = path.suffix.lower()
    if suffix not in (".csv", ".tsv", ".txt", ".parquet"):
        raise DataError(
            f"{where} expects a .csv, .tsv or .parquet file, but got {printable(path)}; read "
            "others with pandas, as pandas.read_excel(path), and pass the frame"
        )
    try:
        with regular_file(path) as file:
            content = file.read()
    except OSError as error:
        reason = printable(error.strerror or error)
        raise DataError(f"{where} cannot read {printable(path)}: {reason}; pass another") from None
    parse = _parquet if suffix == ".parquet" else _csv
    names, columns = parse(f"{where} expects {suffix[1:]}, but {printable(path)}", content)
    columns = _check(where, printable(path), names, columns)
    rows = len(next(iter(columns.values())))
    digest = hashlib.sha256(content).hexdigest()
    source = f"{rows} rows in {printable(path.absolute())}"
    return Table(columns, suffix != ".parquet", path.stem, source, {path.name: digest})


def _csv(failure: str, content: bytes) -> tuple[list[str], list[list]]:
    try:
        text = content.decode("utf-8-sig")  # with or without a byte order mark
    except UnicodeDecodeError as error:
        raise DataError(f"{failure} is not UTF-8 at byte {error.start}; save it as UTF-8") from None

    def rows(delimiter: str) -> Iterable[list[str]]:
        return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)

    try:
        delimiter = max(DELIMITERS, key=lambda d: len(next(iter(rows(d)), [])))
        header, *lines = [row for row in rows(delimiter) if row] or [[]]
    except csv.Error as error:
        raise DataError(f"{failure} cannot be split into columns ({error}); repair it") from None
    names = [name.strip() for name in header]
    if wrong := [i for i, line in enumerate(lines, 1) if len(line) != len(names)]:
        raise DataError(
            f"{failure} has {len(lines[wrong[0] - 1])} values in row {wrong[0]} for {len(names)} "
            f"columns, one of {len(wrong)} such rows; quote values that hold {delimiter!r}"
        )
    if names and lines and all(_is_number(name) for name in names):
        raise DataError(f"{failure} starts with numbers; add a first line with column names")
    return names, [[_present(v.strip()) for v in column] for column in zip(*lines, strict=True)]


def _present(text: str) -> str | None:
    return None if text.casefold() in MISSING else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _parquet(failure: str, content: bytes) -> tuple[list[str], list[list]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise DataError(f"{failure} needs pyarrow; run `pip install jaxnets[parquet]`") from None
    try:
        table = parquet.read_table(pyarrow.BufferReader(content))
    except Exception as error:  # pyarrow's errors have no common base class
        reason = printable(str(error).partition("\n")[0])
        raise DataError(f"{failure} cannot be read ({reason}); write it again") from None
    return table.column_names, [column.to_pylist() for column in table.columns]


def _frame(where: str, table: Any) -> tuple[list[Any], list[list]]:
    """The names and values of a frame's columns, by the methods that it has."""
    if hasattr(table, "iloc") and hasattr(table, "columns"):  # pandas
        series = [table.iloc[:, i] for i in range(len(table.columns))]
        return list(table.columns), [_pandas_values(each) for each in series]
    if hasattr(table, "get_columns"):  # polars
        return table.columns, [each.to_list() for each in table.get_columns()]
    if hasattr(table, "column_names") and hasattr(table, "to_pydict"):  # pyarrow
        return table.column_names, [column.to_pylist() for column in table.columns]
    if isinstance(table, Mapping):
        return [*table], [np.atleast_1d(np.asarray(v, object)).tolist() for v in table.values()]
    cure = "call its collect()" if hasattr(table, "collect") else "pass {'age': [23, 31], ...}"
    raise DataError(
        f"{where} expects a path, a frame of pandas or polars, or a dict of columns, but got "
        f"{type(table).__name__}; {cure}"
    )


def _pandas_values(series: Any) -> list[Any]:
    """The values of a column of pandas; those of a categorical column are text."""
    to_value = str if str(series.dtype) == "category" else lambda value: value
    values, absent = series.tolist(), series.isna().tolist()
    return [None if gone else to_value(v) for v, gone in zip(values, absent, strict=True)]


def _check(where: str, table: str, names: list[str], columns: list[list]) -> Columns:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise DataError(
            f"{where} expects different names of columns, but {table} has {printable(repeated)} "
            "more than once; rename or remove them"
        )
    if "" in names:
        raise DataError(
            f"{where} expects a name for each column, but column {names.index('') + 1} of {table} "
            "has none; name it, or write the file without the frame's index"
        )
    lengths = {len(column) for column in columns}
    if len(lengths) != 1 or 0 in lengths:
        raise DataError(
            f"{where} expects columns of one length, at least one row, but {table} has "
            f"{sorted(lengths) or 'none'}; add rows below the names"
        )
    return {
        name: [None if _is_nan(v) else v for v in column]
        for name, column in zip(names, columns, strict=True)
    }


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
