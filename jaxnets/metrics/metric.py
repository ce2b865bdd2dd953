"""The metric interface, and the mean over examples."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from jaxnets.metrics.per_example import per_example


class Metric(NamedTuple):
    """A pair of pure functions.

    Attributes:
      sums: `sums(outputs, labels, weights)` returns a pytree of sums over a batch: arrays of a
        fixed shape, of 32 or 64 bits. `weights` (batch,) are those of the examples, by default 1,
        and 0 for padding, so that the sums over the batches of a split add up to those over the
        split, whatever the batch size.
      value: `value(sums)` returns the metric.
    """

    sums: Callable[[Array, Array, Array], Any]
    value: Callable[[Any], Array]


@dataclass(frozen=True)  # so that train steps with equal losses are equal and share a program
class MeanSums:
    """The weighted sum of a function over the examples, and the sum of the weights."""

    function: Callable[[Array, Array], Array]

    def __call__(self, outputs: Any, labels: Any, weights: Array) -> tuple[Array, Array]:
        """Return `(sum, count)`, in float32."""
        values = per_example("metrics.mean", self.function, outputs, labels, weights)
        # `where`, since a padded row's loss may be NaN, and NaN * 0 is NaN
        total = jnp.where(weights > 0, values.astype(jnp.float32) * weights, 0).sum()
        return total, weights.sum()


def _quotient(sums: tuple[Array, Array]) -> Array:
    return sums[0] / sums[1]


def mean(function: Callable[[Array, Array], Array]) -> Metric:
    """The mean of a function of `(outputs, labels)` that returns one number per example.

    For example a loss, or `lambda o, y: o.argmax(-1) == y`. Equal functions give equal metrics. The
    mean of no examples is NaN.

    Raises:
      ValueError: `function` is not callable; or, when traced, its result is not a real array
        (batch,).
    """
    if not callable(function):
        raise ValueError(
            f"metrics.mean expects a function of (outputs, labels), but got {function!r}"
        )
    return Metric(MeanSums(function), _quotient)
