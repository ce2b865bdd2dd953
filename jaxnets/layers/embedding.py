"""Embedding: a learned table of vectors, indexed by integers."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.nn.initializers import Initializer

from jaxnets.checks import as_integers
from jaxnets.dtypes import readable, wide_dtype
from jaxnets.errors import LayerError
from jaxnets.layer import Array, Key, Layer, Params, stateless
from jaxnets.layers.checks import get_array
from jaxnets.layers.defaults import EMBEDDING_NORMAL


def embedding(
    vocabulary: int,
    features: int,
    *,
    embedding_init: Initializer = EMBEDDING_NORMAL,
) -> Layer:
    """Row x of a learned table: from integers (...) to (..., features).

    Params: `embedding` (vocabulary, features). An index outside the table gives NaN. NumPy's 64-bit
    indices are checked at full width; inside `jit`, JAX has already wrapped them to 32 bits, so
    that 2**32 is row 0.

    Raises:
      LayerError: a size that is not a positive integer, or an input that is not of integers.
    """
    name = f"embedding({vocabulary}, {features})"
    sizes = {"vocabulary": vocabulary, "features": features}
    vocabulary, features = as_integers(name, error=LayerError, **sizes)

    def init(key: Key, x: Any) -> Params:
        _expect_integers(x)
        return {"embedding": embedding_init(key, (vocabulary, features), jnp.float32)}

    def apply(params: Params, x: Array) -> Array:
        x = readable(x)
        _expect_integers(x)
        table = get_array(name, params, "embedding")
        wide = table.astype(wide_dtype(table.dtype))  # the dtype in which gradients are summed
        y = wide.at[_rows(x, vocabulary)].get(mode="fill", fill_value=jnp.nan)
        return y.astype(table.dtype)

    def _expect_integers(x: Any) -> None:
        if not jnp.issubdtype(x.dtype, jnp.integer):
            raise LayerError(
                f"{name} expects integers but got {x.dtype}; "
                f"pass token indices, as in x.astype(jnp.int32)"
            )

    return stateless(init, apply)


def _rows(x: Any, vocabulary: int) -> Array:
    """The indices in 32 bits; out-of-range ones become `vocabulary`, which "fill" maps to NaN."""
    is_numpy = isinstance(x, np.ndarray | np.generic)  # with 64-bit values that JAX would wrap
    if x.dtype.itemsize < 4:
        x = x.astype(jnp.int32)  # `vocabulary` may not fit in 8 or 16 bits
    inside = (x >= 0) & (x < vocabulary)
    return jnp.asarray((np if is_numpy else jnp).where(inside, x, vocabulary), jnp.int32)
