"""Which class a network says, which is true, and how often they agree."""

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Bool, Float, Integer, Real

from jaxnets.metrics.metric import Metric, mean, positive_integer


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
    """The true class of each example, from class numbers, 0/1 labels or one-hot labels.

    Raises:
      ValueError: the labels are neither one number an example nor one-hot; or, where their values
        can be seen (outside of `jit`), a label for a single logit is outside [-1, 1].
    """
    if labels.ndim == 2 and labels.shape[-1] > 1 and labels.shape == outputs.shape:
        return labels.argmax(-1)
    if labels.size != outputs.shape[0]:
        raise ValueError(
            f"label_classes expects one class number for each of {outputs.shape[0]} examples or "
            f"one-hot labels of the outputs' shape {outputs.shape}, but got labels "
            f"{labels.shape}; drop or add an axis, or one-hot them"
        )
    if outputs.ndim == 1 or outputs.shape[-1] == 1:
        check_binary("label_classes", labels)
    return labels.reshape(-1).astype(jnp.int32)


def check_binary(where: str, labels: Array) -> None:
    """Refuse a binary label outside [-1, 1], where the values are no tracers."""
    if isinstance(labels, Tracer):
        return
    values = np.asarray(labels, np.float32)
    if (wrong := np.flatnonzero(np.abs(values) > 1)).size:
        raise ValueError(
            f"{where} expects binary labels from -1 to 1, but got {values.flat[wrong[0]]:g}; "
            "number the two classes 0 and 1, or give the model one output per class"
        )


accuracy = mean(correct)


def top_k_accuracy(k: int) -> Metric:
    """How often the true class is among the `k` with the largest outputs (batch, classes).

    Of equal outputs the last class ranks first, as in scikit-learn's `top_k_accuracy_score`;
    `accuracy` takes the first. NaN ranks above everything, so that it never helps.

    Raises:
      ValueError: `k` is no positive integer or more than there are classes, or the outputs are
        single logits.
    """
    positive_integer("top_k_accuracy", k=k)

    def hits(
        outputs: Float[Array, "batch *outputs"], labels: Real[Array, "batch *labels"]
    ) -> Bool[Array, " batch"]:
        if outputs.ndim != 2 or outputs.shape[-1] < max(k, 2):
            raise ValueError(
                f"top_k_accuracy expects outputs (batch, classes) with at least {max(k, 2)} "
                f"classes for k={k}, but got {outputs.shape}; lower k, or use accuracy"
            )
        true = label_classes(labels, outputs)[:, None]
        number = jnp.arange(outputs.shape[-1])[None]
        score = jnp.where(number == true, outputs, 0).sum(-1, keepdims=True)
        # "not behind" rather than "ahead", so that a comparison with NaN counts against the class
        ahead = jnp.where(number > true, ~(outputs < score), ~(outputs <= score))
        known = (true >= 0) & (true < outputs.shape[-1])
        return (ahead.sum(-1) < k) & known[:, 0]

    return mean(hits)
