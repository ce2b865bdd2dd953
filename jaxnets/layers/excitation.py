"""Squeeze-and-excitation."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.checks import as_integers
from jaxnets.compose import network
from jaxnets.dtypes import as_float, wide_dtype
from jaxnets.errors import LayerError
from jaxnets.layer import Array, Key, Layer, Params, State
from jaxnets.layers.dense import dense
from jaxnets.layers.pooling import global_avg_pool


def squeeze_and_excitation(ratio: int = 16) -> Layer:
    """Scales each channel of an example by a factor in (0, 1), computed from all channels' means.

    From (batch, *space, channels). The means over space go through two dense layers, `squeeze` to
    channels // ratio with ReLU, and `excite` back to all channels with the sigmoid. Params: those
    of the two, with biases. Source: Hu, Shen & Sun 2018, "Squeeze-and-excitation networks",
    equations 2 to 4.

    Raises:
      LayerError: `ratio` is not a positive integer or exceeds the channels, or an image without
        pixels.
    """
    name = f"squeeze_and_excitation({ratio})"
    [ratio] = as_integers(name, error=LayerError, ratio=ratio)

    def init(key: Key, x: Any) -> tuple[Params, State]:
        if len(x.shape) < 3 or x.shape[-1] < ratio:
            raise LayerError(
                f"{name} expects (batch, *space, channels) with at least {ratio} channels, but got "
                f"{x.shape}; choose a smaller ratio"
            )
        return _scaled(x.shape[-1], ratio).init(key, x)

    def apply(
        params: Params, state: State, x: Array, *, key: Key | None = None, train: bool = False
    ) -> tuple[Array, State]:
        return _scaled(x.shape[-1], ratio).apply(params, state, x, key=key, train=train)

    return Layer(init, apply)


def _scaled(channels: int, ratio: int) -> Layer:
    @network(squeeze=dense(max(1, channels // ratio)), excite=dense(channels))
    def scaled(x, *, squeeze, excite):
        x = as_float(x)
        wide = x.astype(wide_dtype(x.dtype))  # the gradient of a factor is a sum over space
        s = excite(jax.nn.relu(squeeze(global_avg_pool(wide))))
        factors = jax.nn.sigmoid(s.astype(wide_dtype(s.dtype)))
        return (wide * jnp.expand_dims(factors, tuple(range(1, x.ndim - 1)))).astype(s.dtype)

    return scaled
