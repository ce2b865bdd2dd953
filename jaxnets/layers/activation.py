"""Activations that are not in `jax.nn`, or that have parameters."""

from typing import Any

import jax.numpy as jnp

from jaxnets.dtypes import as_float, float_dtype, wide_dtype
from jaxnets.layer import Array, Key, Layer, Params, stateless
from jaxnets.layers.channels import per_channel
from jaxnets.layers.checks import check_channels, get_array


def heaviside(x: Array) -> Array:
    """The Heaviside step function, for threshold units: 1.0 where x > 0, else 0.0."""
    return (x > 0).astype(float_dtype(x.dtype))


def prelu(*, slope: float = 0.25) -> Layer:
    """The identity where x >= 0, else a * x, with a learned slope `a` per channel.

    Params: `slope` (channels,), initialised to the argument. Source: He et al. 2015, "Delving deep
    into rectifiers", equation 1.

    Raises:
      LayerError: an input whose channels differ from the params'.
    """

    def init(key: Key, x: Any) -> Params:
        del key
        return {"slope": jnp.full(x.shape[-1:], slope, jnp.float32)}

    def apply(params: Params, x: Array) -> Array:
        slope, x = get_array("prelu()", params, "slope"), as_float(x)
        check_channels("prelu()", slope, x)
        a = per_channel(slope, x).astype(wide_dtype(x.dtype))
        return jnp.where(x >= 0, x, a * x).astype(x.dtype)

    return stateless(init, apply)
