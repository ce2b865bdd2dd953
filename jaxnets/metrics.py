"""Metrics that stream: sums over examples that add up exactly, and the value they stand for."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer, Real


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


def mean(by_example: Callable[[Array, Array], Array]) -> Metric:
    """The mean of a function of `(outputs, labels)` with one number an example, such as a loss."""

    def sums(outputs: Array, labels: Array, weights: Array) -> tuple[Array, Array]:
        # `where`, since a padded row's loss may be NaN and NaN times 0 is NaN
        values = by_example(outputs, labels).astype(jnp.float32)
        return jnp.where(weights > 0, values * weights, 0).sum(), weights.sum()

    return Metric(sums, lambda sums: sums[0] / sums[1])


def correct(
    outputs: Float[Array, "batch *outputs"], labels: Real[Array, "batch *labels"]
) -> Bool[Array, " batch"]:
    """Whether each example's class is the predicted one; see `classes`."""
    return classes(outputs) == label_classes(labels, outputs)


def classes(outputs: Float[Array, "batch *outputs"]) -> Integer[Array, " batch"]:
    """The predicted class: the largest of several outputs, or whether a single logit is over 0."""
    if outputs.ndim == 1 or outputs.shape[-1] == 1:
        return (outputs.reshape(-1) > 0).astype(jnp.int32)
    return outputs.argmax(-1)


def label_classes(labels: Array, outputs: Array) -> Integer[Array, " batch"]:
    """The true class of each example, from class numbers, 0/1 labels or one-hot labels."""
    if labels.ndim == 2 and labels.shape[-1] > 1 and labels.shape == outputs.shape:
        return labels.argmax(-1)
    return labels.reshape(-1).astype(jnp.int32)


accuracy = mean(correct)


def confusion_matrix(n_classes: int) -> Metric:
    """How often true class i (row) was taken for class j (column), exact up to 2^24 a cell."""

    def sums(outputs: Array, labels: Array, weights: Array) -> Array:
        true = jax.nn.one_hot(label_classes(labels, outputs), n_classes) * weights[:, None]
        return true.T @ jax.nn.one_hot(classes(outputs), n_classes)

    return Metric(sums, lambda sums: sums.astype(jnp.int32))
