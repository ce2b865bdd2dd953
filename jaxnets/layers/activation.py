"""Activations that are not in `jax.nn`, or that have parameters."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from jaxnets.checks import as_integer
from jaxnets.dtypes import as_float, float_dtype, wide_dtype
from jaxnets.errors import LayerError
from jaxnets.layer import Array, Key, Layer, Params, stateless
from jaxnets.layers.channels import per_channel
from jaxnets.layers.checks import check_channels, get_array, plain


@plain
def heaviside(x: Array) -> Array:
    """The Heaviside step function, for threshold units: 1.0 where x > 0, else 0.0."""
    return (x > 0).astype(float_dtype(x.dtype))


def prelu(*, slope: float = 0.25, shared_axes: Sequence[int] | None = None) -> Layer:
    """The identity where x >= 0, else a * x, with a learned slope `a` per channel.

    Params: `slope` (channels,); with `shared_axes`, the shape of an example with 1 along these
    axes. Source: He et al. 2015, "Delving deep into rectifiers", equation 1.

    Args:
      slope: the initial value of every slope.
      shared_axes: the axes of the input along which a slope is shared, as in Keras; 0 is the batch,
        along which it always is. `()` gives one slope per element, `(1, 2, 3)` one for images.

    Raises:
      LayerError: shared axes that are not axes after the batch, or an input that does not fit the
        params.
    """
    name = "prelu()"

    def slopes_of(x: Any) -> tuple[int, ...]:
        if shared_axes is None:
            return x.shape[-1:]
        shared = [as_integer(axis) for axis in shared_axes]
        if any(axis not in range(1, len(x.shape)) for axis in shared):
            raise LayerError(
                f"{name} expects shared_axes from 1 to {len(x.shape) - 1} for {x.shape}, but got "
                f"{tuple(shared_axes)}"
            )
        return tuple(1 if n in shared else size for n, size in enumerate(x.shape))[1:]

    def init(key: Key, x: Any) -> Params:
        del key
        return {"slope": jnp.full(slopes_of(x), slope, jnp.float32)}

    def apply(params: Params, x: Array) -> Array:
        slope, x = get_array(name, params, "slope"), as_float(x)
        if shared_axes is None:
            check_channels(name, slope, x)
        elif slope.shape != slopes_of(x):
            raise LayerError(
                f"{name} expects an input with slopes {slope.shape} but got {x.shape}; call init "
                f"with this input"
            )
        a = per_channel(slope, x).astype(wide_dtype(x.dtype))
        return jnp.where(x >= 0, x, a * x).astype(x.dtype)

    return stateless(init, apply)
