"""Models with one layer: linear regression, logistic regression, the perceptron."""

import jax.numpy as jnp

from jaxnets.compose import serial
from jaxnets.layer import Array, Layer
from jaxnets.layers import dense, flatten, heaviside


def linear(outputs: int = 1, *, absorb_bias: bool = False) -> Layer:
    """Linear regression, f(x) = x W + b, from (batch, ...) to (batch, outputs).

    With `absorb_bias` the input is augmented to [1, x] and the first row of the kernel is the
    bias: w_0 + w_1 x_1 + ... + w_m x_m = [1, x] w. Fit with `losses.half_squared_error`.
    """
    if absorb_bias:
        return serial(flatten, _prepend_one, ("head", dense(outputs, use_bias=False)))
    return serial(flatten, ("head", dense(outputs)))


def logistic(outputs: int = 1, *, absorb_bias: bool = False) -> Layer:
    """Logistic regression, which returns logits; probabilities are their `jax.nn.sigmoid`.

    Fit with `losses.binary_cross_entropy`, which is fused with the sigmoid;
    `training.predict_proba` returns probabilities. `absorb_bias` as for `linear`.
    """
    return linear(outputs, absorb_bias=absorb_bias)


def perceptron(outputs: int = 1) -> Layer:
    """Threshold units: 1.0 where x W + b > 0, else 0.0 (Rosenblatt 1958).

    In the notation `<x, w> > b`, b is the negative of this bias. The gradient is 0 everywhere: set
    the weights by hand or with the perceptron rule.
    """
    return serial(flatten, ("head", dense(outputs)), heaviside)


def _prepend_one(x: Array) -> Array:
    return jnp.concatenate([jnp.ones((x.shape[0], 1), x.dtype), x], axis=1)
