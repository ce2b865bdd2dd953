"""Predicted classes, true classes and accuracy."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Integer, Shaped

from jaxnets.checks import as_integers
from jaxnets.metrics.metric import Metric, mean
from jaxnets.metrics.per_example import is_real

Arrays = Array | np.ndarray


def correct(
    outputs: Float[Arrays, "batch *outputs"], labels: Shaped[Arrays, "batch *labels"]
) -> Bool[Array, " batch"]:
    """Whether each example is classified correctly; see `classes` and `label_classes`."""
    true = label_classes(labels, outputs)
    return classes(outputs) == true


def classes(outputs: Float[Arrays, "batch *outputs"]) -> Integer[Array, "batch *outputs_but_last"]:
    """The predicted class: the argmax of several outputs, or whether a single logit is above 0."""
    outputs = jnp.asarray(outputs)
    if is_single_logit(outputs):
        return (single_logit(outputs) > 0).astype(jnp.int32)
    return outputs.argmax(-1)


def is_single_logit(outputs: Arrays) -> bool:
    """Whether the outputs are the logit of class 1 of two: (batch,) or (..., 1)."""
    return outputs.ndim == 1 or outputs.shape[-1] == 1


def single_logit(outputs: Array) -> Array:
    """The outputs without a last axis of length 1."""
    return outputs if outputs.ndim == 1 else outputs[..., 0]


def label_classes(
    labels: Shaped[Arrays, "..."], outputs: Shaped[Arrays, "..."]
) -> Integer[Array, " batch"]:
    """The true class of each example, from class numbers, binary labels or one-hot labels.

    With outputs (batch, classes), labels are one-hot, or class numbers (batch,) or (batch, 1).
    With a single logit, outputs (batch,) or (batch, 1), they are binary: class 1 above 0.5, else
    class 0. This supports 0 and 1, -1 and +1, bools and probabilities.

    Returns:
      The class numbers, int32 (batch,); -1, which is never predicted, for invalid labels: class
      numbers outside 0 .. classes - 1 or not integers, and binary labels outside [-1, 1].

    Raises:
      ValueError: the labels are neither one number per example nor one-hot, or `check_labels`
        raises for their values.
    """
    _check_shapes(labels, outputs)
    if labels.shape == outputs.shape and labels.ndim == 2 and labels.shape[-1] > 1:
        return jnp.asarray(labels).argmax(-1).astype(jnp.int32)
    check_labels(labels, outputs)
    labels = labels.reshape(outputs.shape[0])
    if is_single_logit(outputs):
        return binary_classes(labels)
    return class_numbers(labels, outputs.shape[-1])


def binary_classes(labels: Arrays) -> Array:
    """1 for labels above 0.5, -1 for labels outside [-1, 1], else 0; int32."""
    values = jnp.asarray(labels, float)
    return jnp.where(jnp.abs(values) <= 1, values > 0.5, -1).astype(jnp.int32)


def class_numbers(labels: Arrays, n_classes: int) -> Array:
    """The labels as int32, with -1 for those that are not integers in 0 .. n_classes - 1."""
    values = jnp.asarray(labels, float)  # in int32, 64-bit labels would wrap around
    valid = (values >= 0) & (values < n_classes) & (values == jnp.floor(values))
    return jnp.where(valid, jnp.asarray(labels).astype(jnp.int32), -1)


accuracy = mean(correct)


def top_k_accuracy(k: int) -> Metric:
    """How often the true class is among the `k` with the largest outputs (batch, classes).

    Of equal outputs the last class ranks first, as in scikit-learn's `top_k_accuracy_score`;
    `accuracy` takes the first. A comparison with NaN counts against the true class, so that NaN
    cannot raise the metric.

    Raises:
      ValueError: `k` is not a positive integer or is larger than the number of classes, or the
        outputs are single logits.
    """
    as_integers("top_k_accuracy", k=k)

    def hits(
        outputs: Float[Arrays, "batch *outputs"], labels: Shaped[Arrays, "batch *labels"]
    ) -> Bool[Array, " batch"]:
        if outputs.ndim != 2 or outputs.shape[-1] < max(k, 2):
            raise ValueError(
                f"top_k_accuracy expects outputs (batch, classes) with at least {max(k, 2)} "
                f"classes for k={k}, but got {outputs.shape}; lower k, or use accuracy"
            )
        true = label_classes(labels, outputs)[:, None]
        number = jnp.arange(outputs.shape[-1])[None]
        score = jnp.where(number == true, outputs, 0).sum(-1, keepdims=True)
        # Negated comparisons, so that a comparison with NaN counts as a higher rank.
        higher = jnp.where(number > true, ~(outputs < score), ~(outputs <= score))
        return (higher.sum(-1) < k) & (true >= 0)[:, 0]

    return mean(hits)


def check_labels(labels: Any, outputs: Any) -> None:
    """Raise for labels that are not classes; traced labels are not checked.

    Args:
      labels: one number per example.
      outputs: anything with the outputs' shape. For a single logit, labels must be binary, in
        [-1, 1]; for several outputs, class numbers, for which any integer passes here.

    Raises:
      ValueError: a label is invalid; the message has the first one.
    """
    if is_single_logit(outputs):
        check_binary(f"a single logit, outputs {outputs.shape},", labels)
    elif not isinstance(labels, Tracer):
        values = np.asarray(labels, np.float64).reshape(-1)
        _raise_if_any(
            f"several outputs {outputs.shape} expect class numbers that are integers",
            values,
            values != np.floor(values),
            "pass integers, or one-hot labels of the outputs' shape",
        )


def check_binary(where: str, labels: Any) -> None:
    """Raise for binary labels outside [-1, 1]; traced labels are not checked.

    Raises:
      ValueError: a label is invalid; the message has the first one.
    """
    if isinstance(labels, Tracer):
        return
    values = np.asarray(labels, np.float64).reshape(-1)
    expected = f"{where} expects binary labels between -1 and 1 (above 0.5 is 1)"
    _raise_if_any(expected, values, ~(np.abs(values) <= 1), "recode them, as in y == 2")


def _raise_if_any(expected: str, values: np.ndarray, invalid: np.ndarray, cure: str) -> None:
    if invalid.any():
        row = int(invalid.argmax())
        raise ValueError(
            f"{expected}, but got {values[row]:g} in row {row} ({invalid.sum()} of "
            f"{values.size} labels are invalid); {cure}"
        )


def _check_shapes(labels: Any, outputs: Any) -> None:
    if not is_real(labels.dtype):
        raise ValueError(
            f"label_classes expects labels that are numbers, but got {labels.dtype}; number the "
            f"classes, as in np.unique(y, return_inverse=True)[1]"
        )
    if outputs.ndim not in (1, 2):
        raise ValueError(
            f"label_classes expects outputs (batch,), (batch, 1) or (batch, classes), but got "
            f"{outputs.shape}; reshape them, or use metrics.mean with your own function"
        )
    one_hot = labels.shape == outputs.shape
    if not one_hot and (*labels.shape[:1], math.prod(labels.shape[1:])) != (outputs.shape[0], 1):
        raise ValueError(
            f"label_classes expects one class number for each of {outputs.shape[0]} examples or "
            f"one-hot labels of the outputs' shape {outputs.shape}, but got labels "
            f"{labels.shape}; drop or add an axis, or one-hot them"
        )
