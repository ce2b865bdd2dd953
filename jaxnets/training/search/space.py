"""What hyperparameters are drawn from: a space is a dict from names to distributions."""

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
    """What one hyperparameter is drawn from.

    Attributes:
      kind: "uniform", "log_uniform", "integers" or "choice".
      arguments: the bounds (low, high), or the options to choose from.
    """

    kind: str
    arguments: tuple

    def draw(self, rng: np.random.Generator, n: int) -> list:
        """`n` values, the first of which do not depend on `n`."""
        if self.kind == "choice":
            return [self.arguments[i] for i in rng.integers(len(self.arguments), size=n)]
        low, high = self.arguments
        if self.kind == "integers":
            return rng.integers(low, high, n, endpoint=True).tolist()
        if self.kind == "uniform":
            return rng.uniform(low, high, n).tolist()
        exponents = rng.uniform(math.log(low), math.log(high), n)
        return np.exp(exponents).clip(low, high).tolist()  # rounding may step over a bound


Space = Mapping[str, Distribution]


def uniform(low: float, high: float) -> Distribution:
    """Real numbers between `low` and `high`, all equally likely."""
    return Distribution("uniform", _bounds("uniform", low, high))


def log_uniform(low: float, high: float) -> Distribution:
    """Positive numbers whose logarithms are equally likely: each decade as often as the next."""
    if not low > 0:
        raise RunError(
            f"log_uniform expects a positive low, but got {low!r}; there is no logarithm of it: "
            "give a small positive number, or use uniform"
        )
    return Distribution("log_uniform", _bounds("log_uniform", low, high))


def integers(low: int, high: int) -> Distribution:
    """Whole numbers from `low` to `high`, both included, all equally likely."""
    low, high = _plain(low), _plain(high)
    for bound in (low, high):
        if not isinstance(bound, int) or isinstance(bound, bool):
            raise RunError(f"integers expects whole numbers as bounds, but got {bound!r}; round it")
    return Distribution("integers", _bounds("integers", low, high))


def choice(*options: Any) -> Distribution:
    """One of the options, all equally likely.

    They are numbers, strings, booleans, None, or tuples of such; a function goes by its name, for
    the function that builds the train step to look up.
    """
    if not options:
        raise RunError("choice expects at least one option, but got none; write choice(16, 32)")
    plain = tuple(_plain(option) for option in options)
    if len(set(plain)) < len(plain):
        raise RunError(f"choice expects options that differ, but got {plain}; name each once")
    return Distribution("choice", plain)


def draw(space: Space, key: Key, n: int) -> list[Setting]:
    """`n` settings; a name's values depend on that name and the key alone."""
    columns = {}
    _check(space)
    for name, distribution in space.items():
        seed = np.asarray(jax.random.key_data(stream(key, "space " + name)))
        columns[name] = distribution.draw(np.random.default_rng(seed), n)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def product(space: Space) -> list[Setting]:
    """Every setting of a space of choices and integers, the last name running fastest.

    Raises:
      RunError: a distribution has no end of values.
    """
    columns = {}
    _check(space)
    for name, distribution in space.items():
        if distribution.kind in ("uniform", "log_uniform"):
            raise RunError(
                f"a grid expects finitely many values of each name, but {name!r} is "
                f"{distribution.kind}; write choice(*numpy.geomspace(1e-4, 1, 5))"
            )
        low, high = distribution.arguments[0], distribution.arguments[-1]
        whole = distribution.kind == "integers"
        columns[name] = range(low, high + 1) if whole else distribution.arguments
    return [dict(zip(columns, row, strict=True)) for row in itertools.product(*columns.values())]


def _check(space: Any) -> None:
    """Refuse a space that is no dict from names to distributions."""
    wrong = space
    if isinstance(space, Mapping):
        named = {n: d for n, d in space.items() if not isinstance(d, Distribution)}
        wrong = next(iter(named.values()), None)
    if wrong is not None:
        raise RunError(
            f"a search expects a space of distributions by name, but got {wrong!r}; write "
            '{"learning_rate": log_uniform(1e-5, 1)} or {"learning_rate": choice(0.1, 0.01)}'
        )


def _bounds(kind: str, low: float, high: float) -> tuple:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise RunError(
            f"{kind} expects finite bounds, low < high, but got {low!r} and {high!r}; one fixed "
            "value is choice(value)"
        )
    return low, high


def _plain(option: Any) -> Any:
    """The option in Python's own types, which can be compared, and written to a file."""
    if isinstance(option, np.generic):
        return option.item()
    if isinstance(option, tuple | list):
        return tuple(_plain(part) for part in option)
    if option is None or isinstance(option, int | float | str):
        return option
    raise RunError(
        f"choice expects numbers, strings, booleans, None or tuples of them, but got {option!r}; "
        "choose a name, and look it up where the train step is built"
    )
