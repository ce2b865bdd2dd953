"""Calibration: whether confidence equals accuracy. Source: Guo et al. 2017, section 2."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxnets.checks import as_integers
from jaxnets.metrics.classification import Arrays, correct, is_single_logit, single_logit
from jaxnets.metrics.metric import Metric
from jaxnets.metrics.per_example import at_least_float32

Sums = Float[Array, "3 bins"]


def expected_calibration_error(n_bins: int = 15) -> Metric:
    """The mean of |accuracy - confidence| over bins, weighted by their size; section 2.

    The confidence is the probability of the predicted class, by softmax or, for a single logit, by
    sigmoid; the bins ((i - 1) / n_bins, i / n_bins] are equally wide.

    Raises:
      ValueError: `n_bins` is not a positive integer.
    """
    as_integers("expected_calibration_error", n_bins=n_bins)

    def value(sums: Sums) -> Float[Array, ""]:
        count, confidence, hits = sums
        return jnp.abs(hits - confidence).sum() / count.sum()

    return Metric(_sums(n_bins), value)


def reliability_diagram(n_bins: int = 15) -> Metric:
    """The accuracy, mean confidence and count of each bin, an array (3, n_bins); figure 1.

    The bins are those of `expected_calibration_error`; an empty bin has NaN, NaN and 0.

    Raises:
      ValueError: `n_bins` is not a positive integer.
    """
    as_integers("reliability_diagram", n_bins=n_bins)

    def value(sums: Sums) -> Float[Array, "3 bins"]:
        count, confidence, hits = sums
        return jnp.stack([hits / count, confidence / count, count])

    return Metric(_sums(n_bins), value)


def _sums(n_bins: int) -> Callable[[Arrays, Arrays, Arrays], Array]:
    """The sums per bin: of examples, of their confidences and of correct predictions."""
    edges = np.linspace(0, 1, n_bins + 1, dtype=np.float32)[1:-1]

    def sums(outputs: Arrays, labels: Arrays, weights: Arrays) -> Sums:
        hits = correct(outputs, labels)
        confidence = _confidence(at_least_float32(outputs))
        values = jnp.stack([jnp.ones_like(confidence), confidence, hits]) * weights[None]
        values = jnp.where(weights[None] > 0, values, 0)  # a padded row may be NaN
        return jnp.zeros((3, n_bins)).at[:, jnp.searchsorted(edges, confidence)].add(values)

    return sums


def _confidence(outputs: Float[Array, "batch *outputs"]) -> Float[Array, " batch"]:
    if is_single_logit(outputs):
        return jax.nn.sigmoid(jnp.abs(single_logit(outputs)))
    return jax.nn.softmax(outputs).max(-1)
