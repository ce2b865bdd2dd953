"""Confusion matrix, precision, recall and F1."""

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxnets.checks import as_integers
from jaxnets.metrics.classification import Arrays, classes, is_single_logit, label_classes
from jaxnets.metrics.metric import Metric

Average = Literal["binary", "macro", "micro", "weighted"]
PerClass = Float[Array, " classes"]
Counts = tuple[PerClass, PerClass, PerClass]


def confusion_matrix(n_classes: int) -> Metric:
    """How often true class i (row) is predicted as class j (column), exact up to 2^24 per cell.

    Raises:
      ValueError: `n_classes` is not a positive integer, or the outputs have a different number of
        classes (2 for a single logit).
    """
    as_integers("confusion_matrix", n_classes=n_classes)

    def sums(outputs: Arrays, labels: Arrays, weights: Arrays) -> Array:
        _check_n_classes("confusion_matrix", n_classes, outputs)
        true = jax.nn.one_hot(label_classes(labels, outputs), n_classes) * weights[:, None]
        return true.T @ jax.nn.one_hot(classes(outputs), n_classes)

    return Metric(sums, lambda sums: sums.astype(jnp.int32))


def precision(n_classes: int, *, average: Average | None = "macro") -> Metric:
    """The fraction of predictions of a class that are correct: tp / (tp + fp), 0 for 0 / 0.

    Equal to scikit-learn's `precision_score(..., labels=range(n_classes), zero_division=0)`.
    The counts are exact up to 2^24 per class.

    Args:
      n_classes: the number of classes, including those that do not occur; 2 for a single logit.
      average: "macro", the mean over the classes; "weighted", the mean weighted by how often each
        class is the true one; "micro", from the counts summed over the classes (this is the
        accuracy); "binary", class 1 of two; None, an array (n_classes,) with one value per class.

    Raises:
      ValueError: `n_classes` is not a positive integer, or `average` is not one of these.
    """
    return _averaged("precision", n_classes, average, lambda tp, predicted, true: (tp, predicted))


def recall(n_classes: int, *, average: Average | None = "macro") -> Metric:
    """The fraction of a class that is predicted correctly: tp / (tp + fn); see `precision`."""
    return _averaged("recall", n_classes, average, lambda tp, predicted, true: (tp, true))


def f1(n_classes: int, *, average: Average | None = "macro") -> Metric:
    """The harmonic mean of precision and recall: 2 tp / (2 tp + fp + fn); see `precision`."""
    return _averaged(
        "f1", n_classes, average, lambda tp, predicted, true: (2 * tp, predicted + true)
    )


def _averaged(
    metric: str, n_classes: int, average: Average | None, fraction: Callable[..., tuple]
) -> Metric:
    """A metric that is a ratio of counts, per class and then averaged, or of summed counts."""
    as_integers(metric, n_classes=n_classes)
    _check_average(metric, n_classes, average)

    def sums(outputs: Arrays, labels: Arrays, weights: Arrays) -> Counts:
        _check_n_classes(metric, n_classes, outputs)
        true = jax.nn.one_hot(label_classes(labels, outputs), n_classes)
        predicted = jax.nn.one_hot(classes(outputs), n_classes) * weights[:, None]
        return (true * predicted).sum(0), predicted.sum(0), (true * weights[:, None]).sum(0)

    def value(counts: Counts) -> Array:
        if average == "micro":
            return _ratio(*fraction(*(count.sum() for count in counts)))
        by_class = _ratio(*fraction(*counts))
        if average == "weighted":
            true = counts[2]
            return _ratio((by_class * true).sum(), true.sum())
        if average == "macro":
            return by_class.mean()
        return by_class if average is None else by_class[1]

    return Metric(sums, value)


def _ratio(numerator: Array, denominator: Array) -> Array:
    """The quotient, 0 where the denominator is 0."""
    return numerator / jnp.where(denominator > 0, denominator, jnp.inf)


def _check_average(metric: str, n_classes: int, average: Average | None) -> None:
    if average is not None and average not in get_args(Average):
        raise ValueError(
            f"{metric} expects average to be one of {get_args(Average)}, or None for one value "
            f"per class, but got {average!r}"
        )
    if average == "binary" and n_classes != 2:
        raise ValueError(
            f'{metric} expects 2 classes for average="binary", but got {n_classes}; '
            f'use "macro", "micro" or "weighted"'
        )


def _check_n_classes(metric: str, n_classes: int, outputs: Arrays) -> None:
    actual = 2 if is_single_logit(outputs) else outputs.shape[-1]
    if actual != n_classes:
        raise ValueError(
            f"{metric}({n_classes}) expects outputs of {n_classes} classes, but got "
            f"{outputs.shape}, {actual} classes; use {metric}({actual})"
        )
