"""Checks of single numbers, for the whole library: each converted, or refused with a cure."""

import operator
from typing import Any

from jax.core import Tracer


def as_integer(value: Any) -> int | None:
    """What Python may index with, NumPy's and JAX's integers too, as an `int`; else None."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def as_integers(
    where: str, *, at_least: int = 1, error: type[Exception] = ValueError, **values: Any
) -> list[int]:
    """The values as Python integers; raise `error` for anything else, or less than `at_least`."""
    numbers = []
    for name, value in values.items():
        number = as_integer(value)
        if number is None or number < at_least:
            kind = "a positive integer" if at_least == 1 else f"an integer of at least {at_least}"
            raise error(
                f"{where} expects {name} to be {kind}, but got {value!r}; pass {name}={at_least} "
                "or more"
            )
        numbers.append(number)
    return numbers


def within(
    where: str, low: float, high: float, *, error: type[Exception] = ValueError, **values: Any
) -> None:
    """Refuse a number outside [low, high]; a traced one passes, as its value is not known yet."""
    for name, value in values.items():
        if not isinstance(value, Tracer) and not low <= value <= high:
            raise error(f"{where} expects {name} from {low:g} to {high:g}, but got {value!r}")


def fraction(where: str, *, error: type[Exception] = ValueError, **values: Any) -> None:
    """Refuse a number outside [0, 1); a traced one passes, as its value is not known yet."""
    for name, value in values.items():
        if not isinstance(value, Tracer) and not 0.0 <= value < 1.0:
            raise error(f"{where} expects {name} in [0, 1), but got {value!r}")


def at_least_zero(where: str, *, error: type[Exception] = ValueError, **values: Any) -> None:
    """Refuse a negative number; a traced one passes, as its value is not known yet."""
    for name, value in values.items():
        if not isinstance(value, Tracer) and not value >= 0:
            raise error(f"{where} expects {name} of at least 0, but got {value!r}")
