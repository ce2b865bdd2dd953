"""Dtypes: what a model may be given, and the one rule by which every layer computes.

- Integers and booleans become float32.
- A float keeps its dtype: bfloat16 in, bfloat16 out. Within, statistics, sums and the sums of
  gradients are in float32 or wider, and rounded once.
- What owns a kernel (`dense`, `conv` and its kin) computes in the kernel's dtype, whatever the
  input, and `embedding` gives that of its table: so casting the params casts the network.
- `max_pool` and `flatten` only select or move values, and keep every dtype.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import LayerError
from jaxnets.layer import Array


def float_dtype(dtype: Any) -> Any:
    """The dtype in which a layer returns what it computes from this one."""
    return dtype if jnp.issubdtype(dtype, jnp.inexact) else jnp.dtype(jnp.float32)


def wide_dtype(dtype: Any) -> Any:
    """The dtype in which a layer adds up numbers of this one: float32 or wider."""
    return jnp.promote_types(dtype, jnp.float32)


def as_float(x: Any) -> Array:
    """`x` as floats: integers and booleans in float32, a float in its own dtype."""
    x = readable(x)
    return jnp.asarray(x) if jnp.issubdtype(x.dtype, jnp.inexact) else jnp.asarray(x, jnp.float32)


def as_array(x: Any) -> Array:
    """`x` in its own dtype.

    Raises:
      LayerError: integers that JAX, without 64 bits, would wrap.
    """
    x = readable(x)
    kept = jax.dtypes.canonicalize_dtype(x.dtype)
    if isinstance(x, np.ndarray) and kept != x.dtype and x.dtype.kind in "iu" and x.size:
        bounds = jnp.iinfo(kept)
        if x.min() < bounds.min or x.max() > bounds.max:
            raise LayerError(
                f"expected integers that fit {kept}, but got {x.dtype} from {x.min()} to {x.max()};"
                f" cast them to float32, or set jax_enable_x64"
            )
    return jnp.asarray(x)


def readable(x: Any) -> Any:
    """An array, or the shape of one, that JAX can read: NumPy's in the machine's byte order.

    Raises:
      LayerError: it is no array, or one of objects, strings or dates.
    """
    dtype = getattr(x, "dtype", None)
    if not isinstance(dtype, np.dtype) and not (dtype and isinstance(x, jax.Array)):
        raise LayerError(
            f"expected arrays or jax.ShapeDtypeStruct, but got {_named(x)}; use jnp.asarray"
        )
    if not isinstance(x, np.ndarray | np.generic):
        return x
    if (
        not (jnp.issubdtype(dtype, jnp.number) or jnp.issubdtype(dtype, jnp.bool_))
        or dtype.char in "gG"
    ):
        raise LayerError(f"expected numbers, but got an array of {dtype}; use x.astype(np.float32)")
    return x if dtype.isnative else x.astype(dtype.newbyteorder("="))


def _named(x: Any) -> str:
    return repr(x) if isinstance(x, bool | int | float | complex | str) else f"a {type(x).__name__}"
