"""Additive noise."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.checks import check_not_negative
from jaxnets.dtypes import as_float, wide_dtype
from jaxnets.errors import LayerError
from jaxnets.layer import Array, Key, Layer, Params, State
from jaxnets.layers.checks import require_key


def gaussian_noise(std: float | Array) -> Layer:
    """Adds normal noise of mean 0 and standard deviation `std`, in training only.

    The input may have any shape. `std` is in its units and may be traced, as a hyperparameter.
    Small noise acts as a penalty on the derivative. Source: Bishop 1995, "Training with noise is
    equivalent to Tikhonov regularization".

    Raises:
      LayerError: a negative `std`, or training without a key.
    """
    check_not_negative("gaussian_noise", error=LayerError, std=std)

    def init(key: Key, x: Any) -> tuple[Params, State]:
        del key, x
        return {}, {}

    def apply(
        params: Params, state: State, x: Array, *, key: Key | None = None, train: bool = False
    ) -> tuple[Array, State]:
        del params
        x = as_float(x)
        if not train:
            return x, state
        wide = wide_dtype(x.dtype)  # bfloat16 noise would have 128 distinct values, all below 3
        noise = jax.random.normal(require_key("gaussian_noise", key), x.shape, wide)
        return (x + jnp.asarray(std, wide) * noise).astype(x.dtype), state

    return Layer(init, apply)
