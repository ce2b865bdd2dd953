"""Losses, one number an example, and penalties on parameters chosen by name."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Integer, Real

from jaxnets.layer import Params
from jaxnets.metrics import correct
from jaxnets.metrics.classification import check_binary
from jaxnets.trees import select


def softmax_cross_entropy(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"] | Real[Array, "*batch classes"],
    *,
    label_smoothing: float | Float[Array, ""] = 0.0,
) -> Float[Array, "*batch"]:
    """Minus the log-probability of the true class t, in nats: -u_t + logsumexp(u), u the logits.

    Fused with softmax, so that it stays finite where the probability itself would round to 0.

    Args:
      logits: scores before softmax.
      labels: class numbers, or one probability a class (one-hot).
      label_smoothing: the share of probability spread evenly over all classes
        (Szegedy et al. 2016, section 7).

    Returns:
      One loss an example; NaN where a class number is outside 0 .. classes - 1.
    """
    classes = logits.shape[-1]
    if labels.ndim == logits.ndim:
        _same_shape("softmax_cross_entropy", logits, labels)
        return optax.softmax_cross_entropy(logits, optax.smooth_labels(labels, label_smoothing))
    _class_numbers("softmax_cross_entropy", logits, labels)
    targets = optax.smooth_labels(jax.nn.one_hot(labels, classes), label_smoothing)
    known = (labels >= 0) & (labels < classes)
    return jnp.where(known, optax.softmax_cross_entropy(logits, targets), jnp.nan)


def binary_cross_entropy(
    logits: Float[Array, "*shape"], labels: Real[Array, "*shape"]
) -> Float[Array, " batch"]:
    """Minus the log-probability of each 0/1 label under sigmoid(logits), summed by example."""
    _same_shape("binary_cross_entropy", logits, labels)
    check_binary("binary_cross_entropy", labels)
    return _by_example(optax.sigmoid_binary_cross_entropy(logits, labels)).sum(-1)


def negative_log_likelihood(
    probabilities: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"] | Real[Array, "*batch classes"],
) -> Float[Array, "*batch"]:
    """Minus the log of the true class's probability, in nats: -log p_t, or -sum_c y_c log p_c.

    On probabilities, to read or to check; train on logits with `softmax_cross_entropy`, which is
    the same number and finite. No probability is over 1, so no loss is below 0: for the logits
    [14, 11, 16] and the last class it is +0.1328, where the Torch7 slides print -0.1328.

    Args:
      probabilities: what softmax gives.
      labels: class numbers, or one probability a class (one-hot).

    Returns:
      One loss an example: infinity, and so is its slope, where a true class has probability 0;
      NaN where a class number is outside 0 .. classes - 1.
    """
    classes = probabilities.shape[-1]
    if labels.ndim == probabilities.ndim:
        _same_shape("negative_log_likelihood", probabilities, labels)
        return _entropy(labels, probabilities).sum(-1)
    _class_numbers("negative_log_likelihood", probabilities, labels)
    losses = _entropy(jax.nn.one_hot(labels, classes), probabilities).sum(-1)
    return jnp.where((labels >= 0) & (labels < classes), losses, jnp.nan)


def binary_negative_log_likelihood(
    probabilities: Float[Array, "*shape"], labels: Real[Array, "*shape"]
) -> Float[Array, " batch"]:
    """Minus the log-probability of each 0/1 label: -(y log p + (1 - y) log(1 - p)), in nats.

    Summed by example; on the probability of label 1, to read or to check; train on logits with
    `binary_cross_entropy`. The minus is before both terms: the slides of module 8 leave out the
    brackets, and those of the introduction leave out the minus once and call this the categorical
    cross-entropy, which is that of several classes (`negative_log_likelihood`).

    Returns:
      One loss an example: infinity where a label has probability 0.
    """
    _same_shape("binary_negative_log_likelihood", probabilities, labels)
    losses = _entropy(labels, probabilities) + _entropy(1 - labels, 1 - probabilities)
    return _by_example(losses).sum(-1)


def misclassification(
    outputs: Float[Array, "batch *outputs"], labels: Real[Array, "batch *labels"]
) -> Float[Array, " batch"]:
    """1 where the predicted class is wrong and 0 where it is right; see `metrics.classes`.

    A step function: its gradient is 0 wherever there is one, so that no descent can follow it.
    Train on a cross-entropy and report this.
    """
    return 1 - correct(outputs, labels).astype(outputs.dtype)


def hinge(outputs: Float[Array, "*shape"], labels: Real[Array, "*shape"]) -> Float[Array, " batch"]:
    """The sum over an example's outputs of max(0, 1 - label output); Cortes & Vapnik 1995.

    Args:
      outputs: scores, positive for label +1.
      labels: -1 or +1, so from 0/1 labels `2 * labels - 1`.

    Returns:
      One loss an example; NaN where a label is neither -1 nor +1.
    """
    _same_shape("hinge", outputs, labels)
    losses = jnp.where(jnp.abs(labels) == 1, optax.hinge_loss(outputs, labels), jnp.nan)
    return _by_example(losses).sum(-1)


def squared_error(
    outputs: Float[Array, "*shape"], targets: Real[Array, "*shape"]
) -> Float[Array, " batch"]:
    """The sum of (output - target)^2 over an example's outputs."""
    _same_shape("squared_error", outputs, targets)
    return _by_example(optax.squared_error(outputs, targets)).sum(-1)


def half_squared_error(
    outputs: Float[Array, "*shape"], targets: Real[Array, "*shape"]
) -> Float[Array, " batch"]:
    """Half the sum of (output - target)^2 over an example's outputs: the slope is the error."""
    _same_shape("half_squared_error", outputs, targets)
    return _by_example(optax.l2_loss(outputs, targets)).sum(-1)


def mean_squared_error(
    outputs: Float[Array, "*shape"], targets: Real[Array, "*shape"]
) -> Float[Array, " batch"]:
    """The mean of (output - target)^2 over an example's outputs."""
    _same_shape("mean_squared_error", outputs, targets)
    return _by_example(optax.squared_error(outputs, targets)).mean(-1)


def l1(
    params: Params, rate: float | Float[Array, ""], *, names: str = "kernel$"
) -> Float[Array, ""]:
    """Rate times the sum of |w| over the parameters whose path matches `names`."""
    return rate * jnp.stack([jnp.abs(w).sum() for w in select(params, names)]).sum()


def l2(
    params: Params, rate: float | Float[Array, ""], *, names: str = "kernel$"
) -> Float[Array, ""]:
    """Rate times the sum of w^2 over the parameters whose path matches `names`, without a half."""
    return rate * jnp.stack([jnp.square(w).sum() for w in select(params, names)]).sum()


def l1_l2(
    params: Params,
    l1_rate: float | Float[Array, ""],
    l2_rate: float | Float[Array, ""],
    *,
    names: str = "kernel$",
) -> Float[Array, ""]:
    """`l1` plus `l2`, each at its own rate: the elastic net (Zou & Hastie 2005)."""
    return l1(params, l1_rate, names=names) + l2(params, l2_rate, names=names)


def _entropy(labels: Array, probabilities: Array) -> Array:
    """-y log p, and 0 with slope 0 where y is 0, whatever p is."""
    return labels * -jnp.log(jnp.where(labels == 0, 1, probabilities))


def _by_example(x: Array) -> Array:
    return x.reshape(x.shape[0], -1)


def _class_numbers(loss: str, scores: Array, labels: Array) -> None:
    if labels.shape != scores.shape[:-1] or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"{loss} expects integer labels {scores.shape[:-1]} or one-hot labels "
            f"{scores.shape}, but got {labels.dtype}{labels.shape}; cast class numbers with "
            f"astype(int), drop an axis, or one-hot them"
        )


def _same_shape(loss: str, outputs: Array, targets: Array) -> None:
    if outputs.shape != targets.shape:
        raise ValueError(
            f"{loss} expects targets of the outputs' shape {outputs.shape}, "
            f"but got {targets.shape}; add or drop an axis"
        )
