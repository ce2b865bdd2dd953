"""Losses, which return one number per example, and penalties on parameters selected by name.

Class numbers are integers or bools; other labels may have any real dtype. 16-bit outputs are cast
to float32.
"""

import math

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Shaped

from jaxnets.layer import Params
from jaxnets.metrics import correct
from jaxnets.metrics.classification import Arrays, check_binary, class_numbers
from jaxnets.metrics.per_example import at_least_float32, is_real
from jaxnets.metrics.per_token import per_token as per_token
from jaxnets.trees import select


def softmax_cross_entropy(
    logits: Float[Arrays, "*batch classes"],
    labels: Shaped[Arrays, "*batch"] | Shaped[Arrays, "*batch classes"],
    *,
    label_smoothing: float | Float[Array, ""] = 0.0,
) -> Float[Array, "*batch"]:
    """Minus the log-probability of the true class t, in nats: -u_t + logsumexp(u), u the logits.

    Fused with softmax, so that it stays finite where the probability itself would round to 0. A
    logit of -inf masks its class: unless it is the true class, it adds nothing to the loss and has
    gradient 0.

    Args:
      logits: scores before softmax.
      labels: class numbers, or one probability per class (one-hot).
      label_smoothing: the probability that is spread evenly over all classes (Szegedy et al. 2016,
        section 7). This includes masked classes, which makes the loss infinite; to mask classes,
        smooth one-hot labels with `optax.smooth_labels(labels, 0.1, where=mask)` instead, and set
        them to 0 where masked.

    Returns:
      One loss per example: infinity where a label puts probability on a masked class, with
      gradient softmax(u) - labels; NaN where a class number is outside 0 .. classes - 1.
    """
    if labels.ndim == logits.ndim:
        logits, labels = _pair("softmax_cross_entropy", logits, labels)
        return _smoothed_cross_entropy(logits, labels, label_smoothing)
    logits, numbers = _with_numbers("softmax_cross_entropy", logits, labels)
    targets = jax.nn.one_hot(numbers, logits.shape[-1])
    losses = _smoothed_cross_entropy(logits, targets, label_smoothing)
    return jnp.where(numbers >= 0, losses, jnp.nan)


def binary_cross_entropy(
    logits: Float[Arrays, "*shape"], labels: Shaped[Arrays, "*shape"]
) -> Float[Array, " batch"]:
    """Minus the log-probability of each 0/1 label under sigmoid(logits), summed per example.

    Returns:
      One loss per example: infinity where a label is impossible, such as 1 for a logit of -inf;
      NaN where a label is not a probability, such as -1.

    Raises:
      ValueError: a label is outside [-1, 1]; labels that are traced are not checked.
    """
    logits, labels = _pair("binary_cross_entropy", logits, labels)
    check_binary("binary_cross_entropy", labels)
    labels = jnp.where((labels >= 0) & (labels <= 1), labels, jnp.nan)
    # The loss of a correct infinite logit is 0, as for the largest finite one, not 0 * inf.
    largest = jnp.where(labels == 1, 1, -1) * jnp.finfo(logits.dtype).max
    is_correct = (labels == jnp.where(logits > 0, 1, 0)) & jnp.isinf(logits)
    logits = jnp.where(is_correct, largest, logits)
    return _flat(optax.sigmoid_binary_cross_entropy(logits, labels)).sum(-1)


def negative_log_likelihood(
    probabilities: Float[Arrays, "*batch classes"],
    labels: Shaped[Arrays, "*batch"] | Shaped[Arrays, "*batch classes"],
) -> Float[Array, "*batch"]:
    """Minus the log of the true class's probability, in nats: -log p_t, or -sum_c y_c log p_c.

    For inspection; for training use `softmax_cross_entropy` of the logits, which is the same
    number and stays finite.

    Args:
      probabilities: the output of softmax.
      labels: class numbers, or one probability per class (one-hot).

    Returns:
      One loss per example: infinity, with infinite slope, where a true class has probability 0;
      NaN where a class number is outside 0 .. classes - 1.
    """
    if labels.ndim == probabilities.ndim:
        probabilities, labels = _pair("negative_log_likelihood", probabilities, labels)
        return _entropy(labels, probabilities).sum(-1)
    probabilities, numbers = _with_numbers("negative_log_likelihood", probabilities, labels)
    losses = _entropy(jax.nn.one_hot(numbers, probabilities.shape[-1]), probabilities).sum(-1)
    return jnp.where(numbers >= 0, losses, jnp.nan)


def binary_negative_log_likelihood(
    probabilities: Float[Arrays, "*shape"], labels: Shaped[Arrays, "*shape"]
) -> Float[Array, " batch"]:
    """Minus the log-probability of each 0/1 label: -(y log p + (1 - y) log(1 - p)), in nats.

    Summed per example; `probabilities` are those of label 1. For inspection; for training use
    `binary_cross_entropy` of the logits. For several classes use `negative_log_likelihood`.

    Returns:
      One loss per example: infinity where a label has probability 0; NaN where a label is not a
      probability, such as -1.
    """
    probabilities, labels = _pair("binary_negative_log_likelihood", probabilities, labels)
    losses = _entropy(labels, probabilities) + _entropy(1 - labels, 1 - probabilities)
    return _flat(jnp.where((labels >= 0) & (labels <= 1), losses, jnp.nan)).sum(-1)


def misclassification(
    outputs: Float[Arrays, "batch *outputs"], labels: Shaped[Arrays, "batch *labels"]
) -> Float[Array, " batch"]:
    """1 where the predicted class is wrong, else 0; see `metrics.classes`, `metrics.label_classes`.

    Its gradient is 0 wherever it is defined, so it cannot be minimised by gradient descent: train
    on a cross-entropy and report this.
    """
    outputs = at_least_float32(outputs)
    return 1 - correct(outputs, labels).astype(outputs.dtype)


def hinge(
    outputs: Float[Arrays, "*shape"], labels: Shaped[Arrays, "*shape"]
) -> Float[Array, " batch"]:
    """The sum over an example's outputs of max(0, 1 - label * output); Cortes & Vapnik 1995.

    Args:
      outputs: scores, positive for label +1.
      labels: -1 or +1; convert 0/1 labels with `2 * labels - 1`.

    Returns:
      One loss per example; NaN where a label is neither -1 nor +1.
    """
    outputs, labels = _pair("hinge", outputs, labels)
    losses = jnp.where(jnp.abs(labels) == 1, optax.hinge_loss(outputs, labels), jnp.nan)
    return _flat(losses).sum(-1)


def squared_error(
    outputs: Float[Arrays, "*shape"], targets: Shaped[Arrays, "*shape"]
) -> Float[Array, " batch"]:
    """The sum of (output - target)^2 over an example's outputs."""
    return _squares("squared_error", outputs, targets).sum(-1)


def half_squared_error(
    outputs: Float[Arrays, "*shape"], targets: Shaped[Arrays, "*shape"]
) -> Float[Array, " batch"]:
    """Half the sum of (output - target)^2 over an example's outputs; its gradient is the error."""
    return (0.5 * _squares("half_squared_error", outputs, targets)).sum(-1)


def mean_squared_error(
    outputs: Float[Arrays, "*shape"], targets: Shaped[Arrays, "*shape"]
) -> Float[Array, " batch"]:
    """The mean of (output - target)^2 over an example's outputs."""
    return _squares("mean_squared_error", outputs, targets).mean(-1)


def l1(
    params: Params, rate: float | Float[Array, ""], *, names: str = "kernel$"
) -> Float[Array, ""]:
    """Rate times the sum of |w| over the parameters whose path matches `names`."""
    sums = [jnp.abs(at_least_float32(w)).sum() for w in select(params, names)]
    return rate * jnp.stack(sums).sum()


def l2(
    params: Params, rate: float | Float[Array, ""], *, names: str = "kernel$"
) -> Float[Array, ""]:
    """Rate times the sum of w^2 over the parameters whose path matches `names`, without a 1/2."""
    sums = [jnp.square(at_least_float32(w)).sum() for w in select(params, names)]
    return rate * jnp.stack(sums).sum()


def l1_l2(
    params: Params,
    l1_rate: float | Float[Array, ""],
    l2_rate: float | Float[Array, ""],
    *,
    names: str = "kernel$",
) -> Float[Array, ""]:
    """`l1` plus `l2`, each at its own rate: the elastic net (Zou & Hastie 2005)."""
    return l1(params, l1_rate, names=names) + l2(params, l2_rate, names=names)


def _smoothed_cross_entropy(logits: Array, targets: Array, smoothing: float | Array) -> Array:
    if logits.shape[-1] == 0:
        raise ValueError(
            f"softmax_cross_entropy expects at least one class, but got logits {logits.shape}"
        )
    targets = optax.smooth_labels(targets, smoothing)
    return -(targets * _unless_zero(targets, jax.nn.log_softmax(logits))).sum(-1)


@jax.custom_jvp
def _unless_zero(weights: Array, logarithms: Array) -> Array:
    """The logarithms, with 0 in place of -inf where the weight is 0."""
    return jnp.where((weights == 0) & jnp.isneginf(logarithms), 0, logarithms)


# The tangent passes unchanged (weight 0 makes it 0): a select there would change the rounding.
_unless_zero.defjvp(lambda primals, tangents: (_unless_zero(*primals), tangents[1]))


def _entropy(labels: Array, probabilities: Array) -> Array:
    """-y log p, and 0 with slope 0 where y is 0, whatever p is."""
    return labels * -jnp.log(jnp.where(labels == 0, 1, probabilities))


def _squares(loss: str, outputs: Arrays, targets: Arrays) -> Array:
    return _flat(optax.squared_error(*_pair(loss, outputs, targets)))


def _flat(x: Array) -> Array:
    return x.reshape(x.shape[0], math.prod(x.shape[1:]))  # -1 is ambiguous for an empty batch


def _with_numbers(loss: str, scores: Arrays, labels: Arrays) -> tuple[Array, Array]:
    """The scores in float32 or wider, and the labels as class numbers, -1 if out of range."""
    is_integer = labels.dtype == bool or jnp.issubdtype(labels.dtype, jnp.integer)
    if labels.shape != scores.shape[:-1] or not is_integer:
        raise ValueError(
            f"{loss} expects integer labels {scores.shape[:-1]} or one-hot labels "
            f"{scores.shape}, but got {labels.dtype}{labels.shape}; cast class numbers with "
            f"astype(int), drop an axis, or one-hot them"
        )
    return at_least_float32(scores), class_numbers(labels, scores.shape[-1])


def _pair(loss: str, outputs: Arrays, targets: Arrays) -> tuple[Array, Array]:
    """Both in float32 or wider; raises unless they have the same shape (batch, ...)."""
    if outputs.shape != targets.shape or outputs.ndim == 0:
        cure = ", as in y[:, None]" if outputs.shape == (*targets.shape, 1) else ""
        raise ValueError(
            f"{loss} expects targets of the outputs' shape {outputs.shape}, "
            f"but got {targets.shape}; add or drop an axis{cure}"
        )
    if not is_real(targets.dtype):
        raise ValueError(f"{loss} expects real targets, but got {targets.dtype}; cast them")
    outputs, targets = at_least_float32(outputs), jnp.asarray(targets)
    return outputs, targets.astype(jnp.promote_types(targets.dtype, outputs.dtype))
