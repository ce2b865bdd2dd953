"""What a metric is, and the commonest one: a mean over examples."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array


class Metric(NamedTuple):
    """A pair of pure functions.

    Attributes:
      sums: `sums(outputs, labels, weights)` gives a pytree of sums over a batch. `weights`
        (batch,) is 1 for an example that counts and 0 for padding, so the sums over the parts
        of a split, however it is cut, add up to those of the whole.
      value: `value(sums)` gives the metric.
    """

    sums: Callable[[Array, Array, Array], Any]
    value: Callable[[Any], Array]


@cache  # so that equal losses make equal updates, and share what is compiled for one
def mean(by_example: Callable[[Array, Array], Array]) -> Metric:
    """The mean of a function of `(outputs, labels)` with one number an example, such as a loss."""

    def sums(outputs: Array, labels: Array, weights: Array) -> tuple[Array, Array]:
        # `where`, since a padded row's loss may be NaN and NaN times 0 is NaN
        values = by_example(outputs, labels).astype(jnp.float32)
        return jnp.where(weights > 0, values * weights, 0).sum(), weights.sum()

    return Metric(sums, lambda sums: sums[0] / sums[1])


def positive_integer(metric: str, **sizes: int) -> None:
    """Refuse a size that is no positive integer."""
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{metric} expects {name} to be a positive integer, but got {size!r}")
