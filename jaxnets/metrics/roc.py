"""The receiver operating characteristic: exact for whole arrays, binned as a streaming metric."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Shaped

from jaxnets.metrics.classification import (
    Arrays,
    binary_classes,
    check_labels,
    label_classes,
)
from jaxnets.metrics.metric import Metric
from jaxnets.metrics.per_example import at_least_float32

LEVELS = 2**16  # the number of bfloat16 bit patterns


class RocCurve(NamedTuple):
    """A curve by decreasing threshold from (0, 0) to (1, 1); arrays of shape (n + 1,).

    Attributes:
      fpr: the false positive rate, the fraction of negatives with a score of at least the
        threshold.
      tpr: the true positive rate, the same fraction of the positives.
      thresholds: infinity, then the scores. Equal scores repeat a point, so that the shape does not
        depend on the values, as `jit` requires.
    """

    fpr: Float[Array, " points"]
    tpr: Float[Array, " points"]
    thresholds: Float[Array, " points"]


def roc_curve(
    scores: Float[Arrays, " n"],
    labels: Shaped[Arrays, " n"],
    weights: Shaped[Arrays, " n"] | None = None,
) -> RocCurve:
    """The false and true positive rates at every threshold, exact; Fawcett 2006, algorithm 1.

    The points are those of scikit-learn's `roc_curve(..., drop_intermediate=False)`, in JAX's
    default precision: float64 scores that round to the same float32 number are equal. Counts are
    exact up to 2^24.

    Args:
      scores: larger for examples that are more likely positive: logits or probabilities, for
        example from `predict_proba`.
      labels: positive if above 0.5: 0/1, -1/+1, bools or probabilities.
      weights: the weight of each example; 0 leaves it out.

    Returns:
      A `RocCurve`. A rate is NaN if there are no negatives, or no positives. Both rates are NaN if
      a score is NaN or, inside a trace, a label is outside [-1, 1], unless its weight is 0.

    Raises:
      ValueError: the arrays do not have the same shape (n,) or are empty, or a label with a weight
        above 0 is outside [-1, 1].
    """
    weights = np.ones(np.shape(scores)) if weights is None else weights
    _check_shapes(scores, labels, weights)
    if not isinstance(weights, Tracer) and not isinstance(labels, Tracer):
        check_labels(np.asarray(labels)[np.asarray(weights) > 0], scores)
    return _roc_curve(*(jnp.asarray(values, float) for values in (scores, labels, weights)))


@jax.jit
def _roc_curve(
    scores: Float[Array, " n"], labels: Float[Array, " n"], weights: Float[Array, " n"]
) -> RocCurve:
    classes = binary_classes(labels)
    invalid = jnp.isnan(scores) | (classes < 0)
    lowest = jnp.where(weights > 0, jnp.where(invalid, jnp.nan, scores), jnp.inf).min()
    # Examples of weight 0 get the last threshold, so that they add no point.
    scores = jnp.where(weights > 0, scores, lowest)
    positive = classes > 0
    columns = (-scores, jnp.where(positive, 0, weights), jnp.where(positive, weights, 0))
    negated, *counts = jax.lax.sort(columns, num_keys=1)
    last_of_ties = jnp.append(negated[1:] != negated[:-1], True)

    def rate(counts: Array) -> Array:
        cumulative = jnp.where(last_of_ties, jnp.cumsum(counts), jnp.inf)
        cumulative = jnp.append(0, jax.lax.cummin(cumulative, reverse=True))
        return cumulative / jnp.where(jnp.isnan(lowest), jnp.nan, cumulative[-1])

    negatives, positives = counts
    return RocCurve(rate(negatives), rate(positives), jnp.append(jnp.inf, -negated))


def roc_auc(
    scores: Float[Arrays, "n *classes"],
    labels: Shaped[Arrays, "n *classes_too"],
    weights: Shaped[Arrays, " n"] | None = None,
) -> Float[Array, ""]:
    """The area under the ROC curve: the probability that a positive scores above a negative.

    Ties count half. Exact, from all scores at once, like scikit-learn's `roc_auc_score`;
    `binned_roc_auc` is a streaming metric.

    Args:
      scores: (n,) as for `roc_curve`; or (n, classes) probabilities, for the one-vs-rest mean over
        the classes (`multi_class="ovr"`, `average="macro"`).
      labels: (n,) as for `roc_curve`; with (n, classes) scores, class numbers or one-hot.
      weights: the weight of each example; 0 leaves it out.

    Returns:
      The area; NaN if a class has no positives or no negatives, or if a traced label or a class
      number with a weight above 0 is invalid.

    Raises:
      ValueError: the scores are not (n,) or (n, classes), or the labels do not fit the scores.
    """
    if scores.ndim == 1:
        curve = roc_curve(scores, labels, weights)
        return jnp.trapezoid(curve.tpr, curve.fpr)
    if scores.ndim != 2 or scores.shape[-1] < 2:
        raise ValueError(
            f"roc_auc expects scores (n,), or (n, classes) for two classes or more, but got "
            f"{scores.shape}; drop an axis, as in scores[:, 0]"
        )
    numbers = jnp.arange(scores.shape[-1])[None]
    true = label_classes(labels, scores)[:, None]
    # 2 is not a binary label, so that an invalid label makes the area NaN
    of_class = jnp.where(true < 0, 2, true == numbers)
    return jax.vmap(roc_auc, in_axes=(1, 1, None))(jnp.asarray(scores), of_class, weights).mean()


def _binned_sums(
    outputs: Float[Arrays, "batch *outputs"], labels: Arrays, weights: Arrays
) -> Float[Array, "2 levels"]:
    """The histogram of bfloat16 logits, for negatives and for positives."""
    logits = _binary_logits(at_least_float32(outputs))
    true = label_classes(labels, outputs if labels.shape == outputs.shape else logits)
    invalid = jnp.isnan(logits) | (true < 0)
    counts = jnp.where((jnp.asarray(weights) > 0) & invalid, jnp.nan, weights)
    return jnp.zeros((2, LEVELS)).at[(true > 0).astype(int), _level(logits)].add(counts)


def _binned_area(sums: Float[Array, "2 levels"]) -> Float[Array, ""]:
    negatives, positives = sums
    below = jnp.cumsum(negatives) - negatives / 2
    return (positives * below).sum() / positives.sum() / negatives.sum()


binned_roc_auc = Metric(_binned_sums, _binned_area)
"""The area under the ROC curve of two classes, from one logit or a pair, as a streaming metric.

The logits are rounded to bfloat16, by at most 2^-8 of their magnitude, and the area of the rounded
logits is exact. It differs from that of the unrounded logits by at most half
the fraction of (positive, negative) pairs that rounding makes equal; `roc_auc` has no such error.
The sums take half a megabyte. NaN if only one class occurs, a logit is NaN or a label is invalid.
"""


def _binary_logits(outputs: Array) -> Array:
    if outputs.ndim == 1 or outputs.shape[1:] == (1,):
        return outputs.reshape(-1)
    if outputs.shape[1:] == (2,):
        return outputs[:, 1] - outputs[:, 0]
    raise ValueError(
        f"binned_roc_auc expects outputs (batch,), (batch, 1) or (batch, 2), but got "
        f"{outputs.shape}; for more classes use roc_auc with the result of predict_proba"
    )


def _level(x: Float[Array, " batch"]) -> Array:
    """The rank of each number among all bfloat16 numbers, from their bits."""
    x = jnp.where(x == 0, 0, x)  # -0 is 0
    bits = jax.lax.bitcast_convert_type(x.astype(jnp.bfloat16), jnp.uint16)
    return jnp.where(bits >> 15, ~bits, bits | LEVELS // 2)


def _check_shapes(scores: Arrays, labels: Arrays, weights: Arrays) -> None:
    if not scores.shape == labels.shape == weights.shape == (scores.size,) or scores.size == 0:
        raise ValueError(
            f"roc_curve expects scores, labels and weights of the same shape (n,), n at least 1, "
            f"but got {scores.shape}, {labels.shape} and {weights.shape}; pass the scores of one "
            f"class, as in scores[:, 1]"
        )
