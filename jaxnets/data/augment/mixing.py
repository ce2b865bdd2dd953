"""Examples mixed with each other, and their labels with them."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxnets.checks import as_integers, check_range
from jaxnets.data.augment.checks import Augment, as_dtype


def mixup(strength: float | Array, n_classes: int) -> Augment:
    """Mixes each example i with the one before it, and their labels by the same weight.

    x = w x_i + (1 - w) x_j, y = w y_i + (1 - w) y_j, w from Beta(strength, strength), j = i - 1
    (of the first, the last: batches are in random order as they are). Source: Zhang et al. 2018,
    "mixup", equation 1 and section 2. Accuracy in training is that of the heavier class.

    Args:
      strength: alpha; the paper takes 0.1 to 0.4 for ImageNet, and 1, where w is uniform, for
        CIFAR-10. At 0 nothing is mixed.
      n_classes: how many classes there are.

    Returns:
      An augmentation of any x (batch, ...), with labels y that are class numbers (batch,) or
      (batch, n_classes) that sum to 1, as those that it gives, in float32. A class number outside
      0 .. n_classes - 1 becomes NaN, as in the loss.

    Raises:
      ValueError: `strength` outside [0, 1000], `n_classes` that is no integer over 1, or labels of
        another shape.
    """
    check_range("mixup", 0, 1000, strength=strength)
    as_integers("mixup", at_least=2, n_classes=n_classes)

    def augment(key: Array, x: Array, y: Array) -> tuple[Array, Array]:
        # Beta(0, 0) is NaN in jax.random, where it should be 0 or 1.
        alpha = jnp.where(strength > 0, strength, 1.0)
        weight = jnp.where(strength > 0, jax.random.beta(key, alpha, alpha, (len(x),)), 1.0)
        return _mixed(x, weight), _mixed(_probabilities(y, n_classes), weight)

    return augment


def _mixed(x: Array, weight: Array) -> Array:
    weight = weight.reshape(-1, *(1,) * (x.ndim - 1))
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return as_dtype(weight * wide + (1 - weight) * jnp.roll(wide, 1, axis=0), x.dtype)


def _probabilities(y: Array, n_classes: int) -> Array:
    """Labels as one probability a class."""
    if y.ndim == 1 and jnp.issubdtype(y.dtype, jnp.integer):
        known = (y >= 0) & (y < n_classes)
        return jnp.where(known[:, None], jax.nn.one_hot(y, n_classes), jnp.nan)
    if y.ndim == 2 and y.shape[1] == n_classes:
        return y.astype(jnp.float32)
    raise ValueError(
        f"mixup expects integer class numbers (batch,) or probabilities (batch, {n_classes}), but "
        f"got {y.dtype} labels {y.shape}; convert them, or pass another n_classes"
    )
