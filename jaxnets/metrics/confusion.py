"""Which class is taken for which, and the precision, recall and F1 that follow from the counts."""

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
    """How often true class i (row) was taken for class j (column), exact up to 2^24 per cell.

    Raises:
      ValueError: `n_classes` is no positive integer, or the outputs have another number of
        classes; 2 for a single logit.
    """
    as_integers("confusion_matrix", n_classes=n_classes)

    def sums(outputs: Arrays, labels: Arrays, weights: Arrays) -> Array:
        _wide("confusion_matrix", n_classes, outputs)
        true = jax.nn.one_hot(label_classes(labels, outputs), n_classes) * weights[:, None]
        return true.T @ jax.nn.one_hot(classes(outputs), n_classes)

    return Metric(sums, lambda sums: sums.astype(jnp.int32))


def precision(n_classes: int, *, average: Average | None = "macro") -> Metric:
    """The share of what was taken for a class that is of it: tp / (tp + fp), 0 where 0 / 0.

    Equal to scikit-learn's `precision_score(..., labels=range(n_classes), zero_division=0)`.
    The counts are exact up to 2^24 a class.

    Args:
      n_classes: how many classes there are, whether or not all of them occur; 2 for a single
        logit.
      average: "macro", the plain mean over the classes; "weighted", their mean weighted by how
        often each is the true one; "micro", from the counts summed over the classes (which is
        the accuracy); "binary", class 1 of two; None, an array (n_classes,) with each class's.

    Raises:
      ValueError: `n_classes` is no positive integer, or `average` is none of these.
    """
    return _averaged("precision", n_classes, average, lambda tp, predicted, true: (tp, predicted))


def recall(n_classes: int, *, average: Average | None = "macro") -> Metric:
    """The share of a class that was found: tp / (tp + fn), 0 where 0 / 0; see `precision`."""
    return _averaged("recall", n_classes, average, lambda tp, predicted, true: (tp, true))


def f1(n_classes: int, *, average: Average | None = "macro") -> Metric:
    """The harmonic mean of precision and recall: 2 tp / (2 tp + fp + fn); see `precision`."""
    return _averaged(
        "f1", n_classes, average, lambda tp, predicted, true: (2 * tp, predicted + true)
    )


def _averaged(
    metric: str, n_classes: int, average: Average | None, fraction: Callable[..., tuple]
) -> Metric:
    """A metric that is a fraction of counts, by class and then averaged, or of their sums."""
    as_integers(metric, n_classes=n_classes)
    _known(metric, n_classes, average)

    def sums(outputs: Arrays, labels: Arrays, weights: Arrays) -> Counts:
        _wide(metric, n_classes, outputs)
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
    """The quotient, 0 where the denominator is."""
    return numerator / jnp.where(denominator > 0, denominator, jnp.inf)


def _known(metric: str, n_classes: int, average: Average | None) -> None:
    if average is not None and average not in get_args(Average):
        raise ValueError(
            f"{metric} expects average to be one of {get_args(Average)}, or None for an array "
            f"of each class's, but got {average!r}"
        )
    if average == "binary" and n_classes != 2:
        raise ValueError(
            f'{metric} expects 2 classes for average="binary", but got {n_classes}; '
            f'use "macro", "micro" or "weighted"'
        )


def _wide(metric: str, n_classes: int, outputs: Arrays) -> None:
    found = 2 if is_single_logit(outputs) else outputs.shape[-1]
    if found != n_classes:
        raise ValueError(
            f"{metric}({n_classes}) expects outputs of {n_classes} classes, but got "
            f"{outputs.shape}, {found} classes; use {metric}({found})"
        )
