"""From rows of a table to arrays, in training and for predictions alike."""

import difflib
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from jaxnets.data.readers.columns import Columns, read_table
from jaxnets.data.readers.kinds import as_number, as_text
from jaxnets.errors import DataError
from jaxnets.messages import printable


@dataclass(frozen=True)
class Number:
    """A column of numbers, or of true and false as 1 and 0: (value - mean) / std.

    Attributes:
      name: of the column.
      mean: of the training rows.
      std: their standard deviation (ddof=0).
      missing: whether values may be missing; these become the mean, and 1 in an additional input.
    """

    name: str
    mean: float
    std: float
    missing: bool

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of its inputs."""
        return (self.name, f"{self.name} is missing") if self.missing else (self.name,)

    def encode(self, values: list[Any]) -> np.ndarray:
        """The inputs, float64 (n, inputs)."""
        numbers = np.array([np.nan if v is None else self._number(v) for v in values], np.float64)
        absent = np.isnan(numbers)
        scaled = np.where(absent, 0, (numbers - self.mean) / self.std)
        return np.stack([scaled, absent], 1) if self.missing else scaled[:, None]

    def _number(self, value: Any) -> float:
        if isinstance(value, bool | np.bool_) or str(value).casefold() in ("true", "false"):
            return float(str(value).casefold() == "true")
        number = as_number(value)
        if number is None or not np.isfinite(float(number)):
            raise DataError(
                f"the table's encoder expects a finite number for {printable(self.name)!r}, but "
                f"got {printable(repr(value))}; convert it as the training table was"
            )
        return float(number)


@dataclass(frozen=True)
class Category:
    """A column of categories, each an input that is 1 for it and 0 for others (one-hot).

    Attributes:
      name: of the column.
      values: the categories, sorted.
      missing: whether values may be missing; these become an additional category.
    """

    name: str
    values: tuple[str, ...]
    missing: bool

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of its inputs."""
        known = tuple(f"{self.name}={value}" for value in self.values)
        return (*known, f"{self.name} is missing") if self.missing else known

    def encode(self, values: list[Any]) -> np.ndarray:
        """The inputs, float64 (n, inputs)."""
        index = {value: i for i, value in enumerate(self.values)}
        numbers = [len(self.values) if v is None else index.get(as_text(v), -1) for v in values]
        if -1 in numbers:
            value = as_text(values[numbers.index(-1)])
            raise DataError(
                f"the table's encoder expects {printable(self.name)!r} as one of "
                f"{printable(list(self.values))}, but got {printable(repr(value))}; "
                f"{_did_you_mean(value, self.values) or 'correct it, or train with such rows'}"
            )
        return np.array(numbers)[:, None] == np.arange(len(self.inputs))


@dataclass(frozen=True)
class TableEncoder:
    """Converts rows of a table to the inputs of a model that was trained on such a table.

    `encoder(rows)` takes one row as a dict, a list of them, or all that `from_table` takes, and
    returns float32 (n, inputs). The order of the columns does not matter, and the target is ignored
    if it is there. Any other unknown column, an unknown category, and a value that is missing where
    none was in training are refused.

    Attributes:
      columns: how each column is encoded, in the order of the inputs.
      target: the name of the column to predict.
      scaling: in regression, the mean and standard deviation of the training targets; else None.
    """

    columns: tuple[Number | Category, ...]
    target: str
    scaling: tuple[float, float] | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The name of each input, such as "age", "age is missing", "gender=male"."""
        return tuple(name for column in self.columns for name in column.inputs)

    def __call__(self, rows: Any) -> np.ndarray:
        """The inputs, float32 (n, inputs).

        Raises:
          DataError: a column is unknown or missing, or one of its values is.
        """
        columns, encoded = self._columns(rows), []
        for column in self.columns:
            values = columns[column.name]
            if None in values and not column.missing:
                raise DataError(
                    f"the table's encoder expects a value for {printable(column.name)!r}, which "
                    f"was never missing in training, but got none in row {values.index(None) + 1}; "
                    "fill it in"
                )
            encoded.append(column.encode(values))
        return np.concatenate(encoded, 1, dtype=np.float32, casting="unsafe")

    def decode(self, outputs: Any) -> np.ndarray:
        """Predictions of a regression in the target's own unit, from a model's outputs."""
        if self.scaling is None:
            raise DataError(
                "TableEncoder.decode is for regression, but the target has classes; take "
                "dataset.classes[i] of the index i that predict returns"
            )
        mean, std = self.scaling
        return np.asarray(outputs) * np.float32(std) + np.float32(mean)

    def _columns(self, rows: Any) -> Columns:
        if isinstance(rows, Mapping) and not any(_is_column(v) for v in rows.values()):
            rows = [rows]
        if isinstance(rows, list | tuple):
            if not rows or not all(isinstance(row, Mapping) for row in rows):
                raise DataError(
                    "the table's encoder expects a row as a dict, or a list of them, but got a "
                    f"{type(rows).__name__} of {len(rows)}; pass {{column: value, ...}}"
                )
            for row in rows:
                self._check_names([*row])
            rows = {column.name: [row[column.name] for row in rows] for column in self.columns}
        columns = read_table("the table's encoder", rows).columns
        self._check_names([*columns])
        return columns

    def _check_names(self, names: list[Any]) -> None:
        known = [column.name for column in self.columns]
        if unknown := [name for name in names if name not in known and name != self.target]:
            raise DataError(
                f"the table's encoder expects the columns {printable(known)}, but got also "
                f"{printable(unknown)}; {_did_you_mean(unknown[0], known) or 'drop them'}"
            )
        if absent := [name for name in known if name not in names]:
            raise DataError(
                f"the table's encoder expects the columns {printable(known)}, but got none named "
                f"{printable(absent)}; pass None for an unknown value"
            )

    def to_json(self) -> dict[str, Any]:
        """The encoder as plain JSON, for `from_json`."""
        kinds = {Number: "number", Category: "category"}
        return {
            "kind": "table",
            "columns": [{"kind": kinds[type(c)], **_plain(asdict(c))} for c in self.columns],
            "target": self.target,
            "scaling": None if self.scaling is None else list(self.scaling),
        }

    @staticmethod
    def from_json(content: dict[str, Any]) -> "TableEncoder":
        """The encoder that `to_json` described; raises an error for invalid content."""
        columns = tuple(map(_column_from_json, content["columns"]))
        scaling = content["scaling"]
        if scaling is not None:
            scaling = _scaling(*scaling)
        return TableEncoder(columns, str(content["target"]), scaling)


def _column_from_json(content: dict[str, Any]) -> Number | Category:
    name, missing = content["name"], content["missing"]
    if not isinstance(name, str) or not isinstance(missing, bool):
        raise ValueError("expected columns with a name, and missing as true or false")
    if content["kind"] == "number":
        return Number(name, *_scaling(content["mean"], content["std"]), missing)
    values = content["values"]
    if content["kind"] != "category" or not all(isinstance(value, str) for value in values):
        raise ValueError("expected columns of numbers, or of categories that are strings")
    return Category(name, tuple(values), missing)


def _scaling(mean: Any, std: Any) -> tuple[float, float]:
    mean, std = float(mean), float(std)
    if not (math.isfinite(mean) and 0 < std < math.inf):
        raise ValueError(f"expected a finite mean and a positive std, but got {mean} and {std}")
    return mean, std


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: list(v) if isinstance(v, tuple) else v for name, v in fields.items()}


def _is_column(value: Any) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str | bytes)


def _did_you_mean(name: Any, options: Any) -> str:
    close = difflib.get_close_matches(str(name), options, n=1)
    return f"did you mean {printable(close[0])!r}?" if close else ""
