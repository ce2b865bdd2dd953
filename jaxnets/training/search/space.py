"""Search spaces: dicts from the names of hyperparameters to distributions."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxnets.errors import RunError
from jaxnets.keys import stream
from jaxnets.layer import Key

Setting = dict[str, Any]  # a value for each name of a space


@dataclass(frozen=True)
class Distribution:
    """The distribution of one hyperparameter.

    Attributes:
      kind: "uniform", "log_uniform", "integers" or "choice".
      arguments: the bounds (low, high), or the options to choose from.
    """

    kind: str
    arguments: tuple

    def draw(self, rng: np.random.Generator, n: int) -> list:
        """`n` random values; the first values do not depend on `n`."""
        if self.kind == "choice":
            return [self.arguments[i] for i in rng.integers(len(self.arguments), size=n)]
        low, high = self.arguments
        if self.kind == "integers":
            return rng.integers(low, high, n, endpoint=True).tolist()
        if self.kind == "uniform":
            return rng.uniform(low, high, n).tolist()
        exponents = rng.uniform(math.log(low), math.log(high), n)
        return np.exp(exponents).clip(low, high).tolist()  # rounding may exceed a bound


Space = Mapping[str, Distribution]


def uniform(low: float, high: float) -> Distribution:
    """Real numbers, uniformly distributed between `low` and `high`."""
    return Distribution("uniform", _bounds("uniform", low, high))


def log_uniform(low: float, high: float) -> Distribution:
    """Positive numbers whose logarithms are uniformly distributed: all decades equally likely."""
    if not low > 0:
        raise RunError(
            f"log_uniform expects a positive low, but got {low!r}, which has no logarithm; pass a "
            "small positive number, or use uniform"
        )
    return Distribution("log_uniform", _bounds("log_uniform", low, high))


def integers(low: int, high: int) -> Distribution:
    """Integers from `low` to `high`, both included, all equally likely."""
    low, high = _as_python(low), _as_python(high)
    for bound in (low, high):
        if not isinstance(bound, int) or isinstance(bound, bool):
            raise RunError(f"integers expects integers as bounds, but got {bound!r}; round it")
    return Distribution("integers", _bounds("integers", low, high))


def choice(*options: Any) -> Distribution:
    """One of the options, all equally likely.

    Options are numbers, strings, booleans, None, or tuples of them. For functions, choose a name,
    and look it up where the train step is built.
    """
    if not options:
        raise RunError("choice expects at least one option, but got none; write choice(16, 32)")
    values = tuple(_as_python(option) for option in options)
    if len(set(values)) < len(values):
        raise RunError(f"choice expects distinct options, but got {values}; pass each once")
    return Distribution("choice", values)


def draw(space: Space, key: Key, n: int) -> list[Setting]:
    """`n` random settings; the values of a name depend only on the name and the key."""
    columns = {}
    _check(space)
    for name, distribution in space.items():
        seed = np.asarray(jax.random.key_data(stream(key, "space " + name)))
        columns[name] = distribution.draw(np.random.default_rng(seed), n)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def product(space: Space) -> list[Setting]:
    """All settings of a space of choices and integers; the last name varies fastest.

    Raises:
      RunError: a distribution is continuous.
    """
    columns = {}
    _check(space)
    for name, distribution in space.items():
        if distribution.kind in ("uniform", "log_uniform"):
            raise RunError(
                f"a grid expects finitely many values per name, but {name!r} is "
                f"{distribution.kind}; write choice(*numpy.geomspace(1e-4, 1, 5))"
            )
        low, high = distribution.arguments[0], distribution.arguments[-1]
        is_range = distribution.kind == "integers"
        columns[name] = range(low, high + 1) if is_range else distribution.arguments
    return [dict(zip(columns, row, strict=True)) for row in itertools.product(*columns.values())]


def _check(space: Any) -> None:
    """Refuse a space that is not a dict from names to distributions."""
    got = space
    if isinstance(space, Mapping):
        others = [d for d in space.values() if not isinstance(d, Distribution)]
        got = next(iter(others), None)
    if got is not None:
        raise RunError(
            f"a search expects a space of distributions by name, but got {got!r}; write "
            '{"learning_rate": log_uniform(1e-5, 1)} or {"learning_rate": choice(0.1, 0.01)}'
        )


def _bounds(kind: str, low: float, high: float) -> tuple:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise RunError(
            f"{kind} expects finite bounds, low < high, but got {low!r} and {high!r}; one fixed "
            "value is choice(value)"
        )
    return low, high


def _as_python(option: Any) -> Any:
    """The option in Python's types, which can be compared and written to a file."""
    if isinstance(option, np.generic):
        return option.item()
    if isinstance(option, tuple | list):
        return tuple(_as_python(part) for part in option)
    if option is None or isinstance(option, int | float | str):
        return option
    raise RunError(
        f"choice expects numbers, strings, booleans, None or tuples of them, but got {option!r}; "
        "choose a name, and look it up where the train step is built"
    )
