"""Dtypes: which inputs a model accepts, and which dtype every layer computes in.

- Integers and booleans become float32.
- A float keeps its dtype: bfloat16 in, bfloat16 out. Inside a layer, statistics, sums and the sums
  of gradients are in float32 or wider, and are rounded once.
- A layer with a kernel (`dense`, `conv`, ...) computes in the kernel's dtype whatever the input,
  and `embedding` returns its table's dtype, so casting the params casts the network.
- `max_pool` and `flatten` only select or move values, and keep every dtype.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import LayerError
from jaxnets.layer import Array
from jaxnets.padded import Padded


def float_dtype(dtype: Any) -> Any:
    """The dtype of a layer's output for an input of this dtype."""
    return dtype if jnp.issubdtype(dtype, jnp.inexact) else jnp.dtype(jnp.float32)


def wide_dtype(dtype: Any) -> Any:
    """The dtype in which a layer sums numbers of this dtype: float32 or wider."""
    return jnp.promote_types(dtype, jnp.float32)


def as_float(x: Any) -> Array:
    """`x` as floats: integers and booleans as float32, floats in their own dtype."""
    x = readable(x)
    return jnp.asarray(x) if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.asarray(x, jnp.float32)


def as_array(x: Any) -> Array:
    """`x` as a JAX array in its own dtype.

    Raises:
      LayerError: integers that do not fit JAX's dtype for them and would wrap around.
    """
    x = readable(x)
    dtype = jax.dtypes.canonicalize_dtype(x.dtype)
    if isinstance(x, np.ndarray) and dtype != x.dtype and x.dtype.kind in "iu" and x.size:
        bounds = jnp.iinfo(dtype)
        if x.min() < bounds.min or x.max() > bounds.max:
            raise LayerError(
                f"expected integers that fit {dtype}, but got {x.dtype} from {x.min()} to "
                f"{x.max()}; cast them to float32, or set jax_enable_x64"
            )
    return jnp.asarray(x)


def readable(x: Any) -> Any:
    """The array or `jax.ShapeDtypeStruct`, in native byte order, which JAX requires.

    Raises:
      LayerError: `x` is not an array, or is one of objects, strings or dates, or a padded batch.
    """
    dtype = x.dtype if isinstance(x, Padded) else getattr(x, "dtype", None)  # or names each_step
    if not isinstance(dtype, np.dtype) and not (dtype and isinstance(x, jax.Array)):
        raise LayerError(
            f"expected arrays or jax.ShapeDtypeStruct, but got {_describe(x)}; use jnp.asarray"
        )
    if not isinstance(x, np.ndarray | np.generic):
        return x
    if (
        not (jnp.issubdtype(dtype, jnp.number) or jnp.issubdtype(dtype, jnp.bool_))
        or dtype.char in "gG"
    ):
        raise LayerError(f"expected numbers, but got an array of {dtype}; use x.astype(np.float32)")
    return x if dtype.isnative else x.astype(dtype.newbyteorder("="))


def _describe(x: Any) -> str:
    return repr(x) if isinstance(x, bool | int | float | complex | str) else f"a {type(x).__name__}"
