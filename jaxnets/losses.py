"""Losses, one number an example, and penalties on parameters chosen by name."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Integer, Real

from jaxnets.layer import Params
from jaxnets.trees import select


def softmax_cross_entropy(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"] | Real[Array, "*batch classes"],
    *,
    label_smoothing: float | Float[Array, ""] = 0.0,
) -> Float[Array, "*batch"]:
    """Minus the log-probability of the true class, in nats, fused with softmax.

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
    if labels.shape != logits.shape[:-1] or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"softmax_cross_entropy expects integer labels {logits.shape[:-1]} or one-hot labels "
            f"{logits.shape}, but got {labels.dtype}{labels.shape}"
        )
    targets = optax.smooth_labels(jax.nn.one_hot(labels, classes), label_smoothing)
    known = (labels >= 0) & (labels < classes)
    return jnp.where(known, optax.softmax_cross_entropy(logits, targets), jnp.nan)


def binary_cross_entropy(
    logits: Float[Array, "*shape"], labels: Real[Array, "*shape"]
) -> Float[Array, " batch"]:
    """Minus the log-probability of each 0/1 label under sigmoid(logits), summed by example."""
    _same_shape("binary_cross_entropy", logits, labels)
    return _by_example(optax.sigmoid_binary_cross_entropy(logits, labels)).sum(-1)


def squared_error(
    outputs: Float[Array, "*shape"], targets: Real[Array, "*shape"]
) -> Float[Array, " batch"]:
    """The sum of (output - target)^2 over an example's outputs."""
    _same_shape("squared_error", outputs, targets)
    return _by_example(optax.squared_error(outputs, targets)).sum(-1)


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


def _by_example(x: Array) -> Array:
    return x.reshape(x.shape[0], -1)


def _same_shape(loss: str, outputs: Array, targets: Array) -> None:
    if outputs.shape != targets.shape:
        raise ValueError(
            f"{loss} expects targets of the outputs' shape {outputs.shape}, "
            f"but got {targets.shape}; add or drop an axis"
        )
