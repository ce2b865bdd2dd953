"""Mixup."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxnets.checks import as_integers, check_range
from jaxnets.data.augment.checks import Augment, as_dtype


def mixup(strength: float | Array, n_classes: int) -> Augment:
    """Mixes each example i with the previous one, and their labels with the same weights.

    x = w x_i + (1 - w) x_j, y = w y_i + (1 - w) y_j, w from Beta(strength, strength), j = i - 1
    (the last example for the first; batches are in random order already). Source: Zhang et al.
    2018, "mixup", section 2. Training accuracy counts the class with the larger
    weight.

    Args:
      strength: alpha; the paper uses 0.1 to 0.4 for ImageNet, and 1, where w is uniform, for
        CIFAR-10. 0 turns it off.
      n_classes: the number of classes.

    Returns:
      An augmentation of any x (batch, ...), with labels y that are class numbers (batch,) or
      probabilities (batch, n_classes). It returns labels as probabilities in float32. A class
      number outside 0 .. n_classes - 1 becomes NaN, as in the loss.

    Raises:
      ValueError: `strength` outside [0, 1000], `n_classes` not an integer of at least 2, or labels
        of any other shape.
    """
    check_range("mixup", 0, 1000, strength=strength)
    as_integers("mixup", at_least=2, n_classes=n_classes)

    def augment(key: Array, x: Array, y: Array) -> tuple[Array, Array]:
        # jax.random's Beta(0, 0) is NaN instead of 0 or 1.
        alpha = jnp.where(strength > 0, strength, 1.0)
        weight = jnp.where(strength > 0, jax.random.beta(key, alpha, alpha, (len(x),)), 1.0)
        return _mix(x, weight), _mix(_probabilities(y, n_classes), weight)

    return augment


def _mix(x: Array, weight: Array) -> Array:
    weight = weight.reshape(-1, *(1,) * (x.ndim - 1))
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return as_dtype(weight * wide + (1 - weight) * jnp.roll(wide, 1, axis=0), x.dtype)


def _probabilities(y: Array, n_classes: int) -> Array:
    """Labels as one probability per class."""
    if y.ndim == 1 and jnp.issubdtype(y.dtype, jnp.integer):
        valid = (y >= 0) & (y < n_classes)
        return jnp.where(valid[:, None], jax.nn.one_hot(y, n_classes), jnp.nan)
    if y.ndim == 2 and y.shape[1] == n_classes:
        return y.astype(jnp.float32)
    raise ValueError(
        f"mixup expects integer class numbers (batch,) or probabilities (batch, {n_classes}), but "
        f"got {y.dtype} labels {y.shape}; convert them, or pass another n_classes"
    )
