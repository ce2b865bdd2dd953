"""Checks of scalar arguments: converts each value, or raises an error that says how to fix it."""

import operator
from typing import Any

from jax.core import Tracer


def as_integer(value: Any) -> int | None:
    """The value as an `int` if it is an integer (of Python, NumPy or JAX), else None."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def as_integers(
    where: str, *, at_least: int = 1, error: type[Exception] = ValueError, **values: Any
) -> list[int]:
    """The values as Python integers; raises `error` for any that is not one or is too small."""
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


def check_range(
    where: str, low: float, high: float, *, error: type[Exception] = ValueError, **values: Any
) -> None:
    """Raise for a number outside [low, high]; tracers pass, since their values are unknown."""
    for name, value in values.items():
        if not isinstance(value, Tracer) and not low <= value <= high:
            raise error(f"{where} expects {name} from {low:g} to {high:g}, but got {value!r}")


def check_fraction(where: str, *, error: type[Exception] = ValueError, **values: Any) -> None:
    """Raise for a number outside [0, 1); tracers pass, since their values are unknown."""
    for name, value in values.items():
        if not isinstance(value, Tracer) and not 0.0 <= value < 1.0:
            raise error(f"{where} expects {name} in [0, 1), but got {value!r}")


def check_not_negative(where: str, *, error: type[Exception] = ValueError, **values: Any) -> None:
    """Raise for a negative number or NaN; tracers pass, since their values are unknown."""
    for name, value in values.items():
        if not isinstance(value, Tracer) and not value >= 0:
            raise error(f"{where} expects {name} of at least 0, but got {value!r}")
