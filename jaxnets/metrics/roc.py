"""The receiver operating characteristic: exact over whole arrays, and binned where it streams."""

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

LEVELS = 2**16  # how many bfloat16 numbers there are


class RocCurve(NamedTuple):
    """A curve by falling threshold, each array (n + 1,), from (0, 0) to (1, 1).

    Attributes:
      fpr: false positive rate, the share of the negatives that score at least the threshold.
      tpr: true positive rate, the share of the positives that do.
      thresholds: infinity, then the scores. Equal scores repeat one point, so that the shape
        does not depend on the values and `jit` can have it.
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
    default precision: float64 scores that are one float32 number are equal. Counts are exact up
    to 2^24.

    Args:
      scores: larger for what is more likely positive: logits or probabilities, such as
        `predict_proba` gives.
      labels: positive above 0.5, so 0/1, -1/+1, bool or a probability.
      weights: how much each example counts; 0 leaves it out.

    Returns:
      A `RocCurve`: a rate is NaN where there is nothing to take it of, and both are where a
      score that counts is NaN or, in a trace, a label that counts is outside of [-1, 1].

    Raises:
      ValueError: the arrays are not of one shape (n,), or are empty, or a label that counts is
        outside of [-1, 1].
    """
    weights = np.ones(np.shape(scores)) if weights is None else weights
    _same_length(scores, labels, weights)
    if not isinstance(weights, Tracer) and not isinstance(labels, Tracer):
        check_labels(np.asarray(labels)[np.asarray(weights) > 0], scores)
    scores, weights = jnp.asarray(scores, float), jnp.asarray(weights, float)
    classes = binary_classes(labels)
    unknown = jnp.isnan(scores) | (classes < 0)
    lowest = jnp.where(weights > 0, jnp.where(unknown, jnp.nan, scores), jnp.inf).min()
    # What does not count joins the last threshold, where it adds no point of its own.
    scores = jnp.where(weights > 0, scores, lowest)
    positive = classes > 0
    falling = (-scores, jnp.where(positive, 0, weights), jnp.where(positive, weights, 0))
    falling, *counts = jax.lax.sort(falling, num_keys=1)
    last_of_ties = jnp.append(falling[1:] != falling[:-1], True)

    def rate(counts: Array) -> Array:
        so_far = jnp.where(last_of_ties, jnp.cumsum(counts), jnp.inf)
        so_far = jnp.append(0, jax.lax.cummin(so_far, reverse=True))
        return so_far / jnp.where(jnp.isnan(lowest), jnp.nan, so_far[-1])

    negatives, positives = counts
    return RocCurve(rate(negatives), rate(positives), jnp.append(jnp.inf, -falling))


def roc_auc(
    scores: Float[Arrays, "n *classes"],
    labels: Shaped[Arrays, "n *classes_too"],
    weights: Shaped[Arrays, " n"] | None = None,
) -> Float[Array, ""]:
    """The area under the ROC curve: how likely a positive scores above a negative, ties half.

    Exact, from all scores at once: what scikit-learn's `roc_auc_score` gives. `binned_roc_auc`
    streams.

    Args:
      scores: (n,) as for `roc_curve`; or (n, classes) probabilities, for the mean over the
        classes of each against the rest (`multi_class="ovr"`, `average="macro"`).
      labels: (n,) as for `roc_curve`; class numbers, or one-hot, where there are classes.
      weights: how much each example counts; 0 leaves it out.

    Returns:
      The area; NaN where a class, or all but it, is absent, or a label that counts is none.

    Raises:
      ValueError: the scores are not (n,) or (n, classes), or the labels are not theirs.
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
    # 2 is no binary label, so that a label of no class makes the area NaN
    of_class = jnp.where(true < 0, 2, true == numbers)
    return jax.vmap(roc_auc, in_axes=(1, 1, None))(jnp.asarray(scores), of_class, weights).mean()


def _binned_sums(
    outputs: Float[Arrays, "batch *outputs"], labels: Arrays, weights: Arrays
) -> Float[Array, "2 levels"]:
    """How many negatives and positives have each bfloat16 number for a score."""
    logits = _binary_logits(at_least_float32(outputs))
    true = label_classes(labels, outputs if labels.shape == outputs.shape else logits)
    unknown = jnp.isnan(logits) | (true < 0)
    counted = jnp.where((jnp.asarray(weights) > 0) & unknown, jnp.nan, weights)
    return jnp.zeros((2, LEVELS)).at[(true > 0).astype(int), _level(logits)].add(counted)


def _binned_area(sums: Float[Array, "2 levels"]) -> Float[Array, ""]:
    negatives, positives = sums
    behind = jnp.cumsum(negatives) - negatives / 2
    return (positives * behind).sum() / positives.sum() / negatives.sum()


binned_roc_auc = Metric(_binned_sums, _binned_area)
"""The area under the ROC curve of two classes, from a single logit or a pair, as a stream.

No sum of fixed size holds every order of scores, so the logits are rounded to the 65,536 bfloat16
numbers and the area of those is exact: a relative step of 2^-8, whatever the logits' range. It is
off the area of the unrounded logits by at most half the share of (positive, negative) pairs that
the rounding makes equal. The sums take half a megabyte; `roc_auc` has no such error. NaN where
only one class occurs, a logit is NaN or a label is no class.
"""


def _binary_logits(outputs: Array) -> Array:
    if outputs.ndim == 1 or outputs.shape[1:] == (1,):
        return outputs.reshape(-1)
    if outputs.shape[1:] == (2,):
        return outputs[:, 1] - outputs[:, 0]
    raise ValueError(
        f"binned_roc_auc expects outputs (batch,), (batch, 1) or (batch, 2), but got "
        f"{outputs.shape}; for more classes use roc_auc on what predict_proba gives"
    )


def _level(x: Float[Array, " batch"]) -> Array:
    """The rank of each number among all bfloat16 numbers: their bits, as they sort."""
    x = jnp.where(x == 0, 0, x)  # -0 is 0
    bits = jax.lax.bitcast_convert_type(x.astype(jnp.bfloat16), jnp.uint16)
    return jnp.where(bits >> 15, ~bits, bits | LEVELS // 2)


def _same_length(scores: Arrays, labels: Arrays, weights: Arrays) -> None:
    if not scores.shape == labels.shape == weights.shape == (scores.size,) or scores.size == 0:
        raise ValueError(
            f"roc_curve expects scores, labels and weights of one shape (n,), n at least 1, but "
            f"got {scores.shape}, {labels.shape} and {weights.shape}; take one class's scores, as "
            f"in scores[:, 1]"
        )
