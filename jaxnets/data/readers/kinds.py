"""The kind of each column of a table: numbers, true or false, categories; others are refused."""

import math
import re
from typing import Any, Literal, NamedTuple

import numpy as np

from jaxnets.data.readers.columns import Table
from jaxnets.messages import printable

MOST = 100  # categories of a column, and therefore inputs
EXACT = 2**53  # float64 has all integers up to it, and only some above
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
CODE = re.compile(r"0\d+")  # a number with leading zeros, such as a postcode
COMMA = re.compile(r"[+-]?\d+,\d+")
TIME = r"([T ]\d{1,2}:\d{2}.*)?"
DATE = re.compile(
    rf"(\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}|\d{{1,2}}[-/.]\d{{1,2}}[-/.]\d{{2,4}}){TIME}"
)
DATE_CURE = "replace it by numbers, such as the year or the days since a date, or drop it"


class Refused(Exception):
    """A column cannot be encoded; the message says why and what to do, without its name."""


class Values(NamedTuple):
    """A column of one kind.

    Attributes:
      kind: of its values.
      values: float64 (n,), NaN where missing; or str or None (n,), for a category.
    """

    kind: Literal["number", "boolean", "category"]
    values: np.ndarray

    @property
    def missing(self) -> np.ndarray:
        """Where a value is missing, bool (n,)."""
        return np.array([v is None or v != v for v in self.values], bool)


def kind_of(table: Table, name: str, *, as_category: bool) -> Values:
    """The values of a column, with their kind.

    Raises:
      Refused: it has dates, infinities, integers above `EXACT`, too many categories, or objects.
    """
    values = table.columns[name]
    present = [v for v in values if v is not None]
    if not present:
        raise Refused("has no values; drop it")
    if any(hasattr(v, "isoformat") for v in present) or _all(DATE, present):
        raise Refused(f"holds dates, such as {printable(present[0])}; {DATE_CURE}")
    if as_category:
        return _category([None if v is None else as_text(v) for v in values])
    if table.is_text:
        values = _typed(values, present)
        present = [v for v in values if v is not None]
    types = {_type(v) for v in present}
    if types == {"text"}:
        return _category([None if v is None else as_text(v) for v in values])
    if types == {"boolean"}:
        return Values("boolean", np.array([math.nan if v is None else float(v) for v in values]))
    if types != {"number"}:
        raise Refused(f"holds {' and '.join(sorted(types))}; convert it to one kind")
    return _numbers(values)


def _typed(values: list[Any], present: list[str]) -> list[Any]:
    """The values of a column of text as numbers or booleans, if all of them are."""
    if _all(COMMA, present):
        raise Refused(
            f"has decimal commas, such as {present[0]}; write points, or pass the frame that "
            'pandas.read_csv(path, sep=";", decimal=",") returns'
        )
    if _all(NUMBER, present) and not any(CODE.fullmatch(v) for v in present):
        return [None if v is None else as_number(v) for v in values]
    if {v.casefold() for v in present} <= {"true", "false"}:
        return [None if v is None else v.casefold() == "true" for v in values]
    return values


def _numbers(values: list[Any]) -> Values:
    numbers = np.array([math.nan if v is None else float(v) for v in values])
    if np.isinf(numbers).any():
        row = int(np.isinf(numbers).argmax())
        raise Refused(f"is infinite in row {row + 1}; drop the row, or leave the value empty")
    if large := [v for v in values if isinstance(v, int | np.integer) and abs(v) > EXACT]:
        raise Refused(
            f"holds {large[0]}, but float64 is exact only for integers up to 2**53; drop it if it "
            "identifies a row, else convert it to text or to a float"
        )
    return Values("number", numbers)


def _category(values: list[Any]) -> Values:
    names = {v for v in values if v is not None}
    if len(names) > MOST:
        raise Refused(
            f"holds {len(names)} different values, such as {printable(min(names))!r}, but a "
            f"category has at most {MOST}; drop it, group them, or pass numbers without units"
        )
    return Values("category", np.array(values, object))


def as_number(value: Any) -> Any:
    """A number, or the number that a text is; None if it is neither."""
    if isinstance(value, str):
        if not NUMBER.fullmatch(value.strip()):
            return None
        number = float(value)
        return (
            int(value) if number.is_integer() and re.fullmatch(r"\s*[+-]?\d+\s*", value) else number
        )
    return value if _type(value) == "number" else None


def as_text(value: Any) -> str:
    """The category of a value: 8001 and 8001.0 are "8001", True is "true"."""
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _all(pattern: re.Pattern, values: list[Any]) -> bool:
    return all(isinstance(v, str) and pattern.fullmatch(v) for v in values)


def _type(value: Any) -> str:
    if isinstance(value, bool | np.bool_):
        return "boolean"
    if isinstance(value, int | float | np.integer | np.floating):
        return "number"
    is_decimal = type(value).__name__ == "Decimal"
    return "text" if isinstance(value, str) else "number" if is_decimal else type(value).__name__
