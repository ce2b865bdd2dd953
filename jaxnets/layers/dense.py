"""The fully connected layer."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer

from jaxnets.checks import as_integers
from jaxnets.dtypes import readable
from jaxnets.errors import LayerError
from jaxnets.layer import Array, Key, Layer, Params, stateless
from jaxnets.layers.channels import add_bias
from jaxnets.layers.checks import get_array
from jaxnets.layers.defaults import LECUN_NORMAL, ZEROS
from jaxnets.lowering.matmul import rows_matmul


def dense(
    features: int,
    *,
    use_bias: bool = True,
    kernel_init: Initializer = LECUN_NORMAL,
    bias_init: Initializer = ZEROS,
) -> Layer:
    """An affine map y = x W + b, from (..., inputs) to (..., features).

    Params: `kernel` (inputs, features) and, with `use_bias`, `bias` (features,). Computes in the
    kernel's dtype.

    Raises:
      LayerError: `features` is not a positive integer, or the input does not fit the kernel.
    """
    name = f"dense({features})"
    [features] = as_integers(name, error=LayerError, features=features)

    def init(key: Key, x: Any) -> Params:
        if not x.shape:
            raise LayerError(f"{name} expects (..., inputs) but got a scalar")
        if not x.shape[-1]:
            raise LayerError(f"{name} expects at least one input feature, but got {x.shape}")
        kernel_key, bias_key = jax.random.split(key)
        params = {"kernel": kernel_init(kernel_key, (x.shape[-1], features), jnp.float32)}
        if use_bias:
            params["bias"] = bias_init(bias_key, (features,), jnp.float32)
        return params

    def apply(params: Params, x: Array) -> Array:
        kernel = get_array(name, params, "kernel")
        x = readable(x)
        if x.ndim == 0 or x.shape[-1] != kernel.shape[0]:
            raise LayerError(
                f"{name} expects (..., {kernel.shape[0]}) but got {x.shape}; "
                f"flatten it first, or call init with this input"
            )
        y = rows_matmul(x.astype(kernel.dtype), kernel)
        return add_bias(y, get_array(name, params, "bias")) if use_bias else y

    return stateless(init, apply)
