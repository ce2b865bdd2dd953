"""Normalisation: over the batch, or over the channels of one example."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.layer import Array, Key, Layer, LayerError, Params, State
from jaxnets.layers.channels import per_channel
from jaxnets.layers.checks import fraction, own


def batch_norm(*, decay: float = 0.99, epsilon: float = 1e-5) -> Layer:
    """Each channel to mean 0 and variance 1 over the batch, then scaled and shifted.

    Training uses the batch's statistics and moves the running ones: `decay` is the weight of the
    old value. Evaluation uses the running ones. Params: `scale`, `bias` (channels,); state:
    `mean`, `var` (channels,), in float32 whatever the input. The variance is the biased one.
    Source: Ioffe & Szegedy 2015, algorithm 1.

    Raises:
      LayerError: `decay` outside [0, 1), or an input whose channels differ from the state's.
    """
    fraction("batch_norm", decay=decay)

    def init(key: Key, x: Any) -> tuple[Params, State]:
        del key
        channels = x.shape[-1:]
        return _scale_and_bias(channels), {"mean": jnp.zeros(channels), "var": jnp.ones(channels)}

    def apply(
        params: Params, state: State, x: Array, *, key: Key | None = None, train: bool = False
    ) -> tuple[Array, State]:
        del key
        _expect_channels("batch_norm()", params, x)
        mean, var = state["mean"], state["var"]
        if train:
            mean, var = _moments(x, axes=tuple(range(x.ndim - 1)))
            state = {
                "mean": decay * state["mean"] + (1 - decay) * jax.lax.stop_gradient(mean),
                "var": decay * state["var"] + (1 - decay) * jax.lax.stop_gradient(var),
            }
        return _normalise(x, mean, var, params, epsilon), state

    return Layer(init, apply)


def layer_norm(*, epsilon: float = 1e-6) -> Layer:
    """Each example's last axis to mean 0 and variance 1, then scaled and shifted by channel.

    Params: `scale`, `bias` (channels,). Source: Ba, Kiros & Hinton 2016, equation 4.

    Raises:
      LayerError: an input whose channels differ from the params'.
    """

    def init(key: Key, x: Any) -> tuple[Params, State]:
        del key
        return _scale_and_bias(x.shape[-1:]), {}

    def apply(
        params: Params, state: State, x: Array, *, key: Key | None = None, train: bool = False
    ) -> tuple[Array, State]:
        del key, train
        _expect_channels("layer_norm()", params, x)
        mean, var = _moments(x, axes=(-1,), keepdims=True)
        return _normalise(x, mean, var, params, epsilon), state

    return Layer(init, apply)


def _scale_and_bias(channels: tuple[int, ...]) -> Params:
    return {"scale": jnp.ones(channels), "bias": jnp.zeros(channels)}


def _expect_channels(layer: str, params: Params, x: Array) -> None:
    scale = own(layer, params, "scale")
    if x.shape[-1:] != scale.shape:
        raise LayerError(
            f"{layer} expects (..., {scale.shape[0]}) but got {x.shape}; init again with this input"
        )


def _moments(x: Array, axes: tuple[int, ...], keepdims: bool = False) -> tuple[Array, Array]:
    """Mean and biased variance, in at least float32, in two passes so that nothing cancels."""
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    mean = x.mean(axes, keepdims=True)
    var = jnp.square(x - mean).mean(axes, keepdims=True)
    return (mean, var) if keepdims else (mean.reshape(x.shape[-1:]), var.reshape(x.shape[-1:]))


def _normalise(x: Array, mean: Array, var: Array, params: Params, epsilon: float) -> Array:
    mean, var, scale, bias = (
        per_channel(v, x) for v in (mean, var, params["scale"], params["bias"])
    )
    return ((x - mean) * (jax.lax.rsqrt(var + epsilon) * scale) + bias).astype(x.dtype)
