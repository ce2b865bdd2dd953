"""Layers on token indices: a table of learned vectors, and a dense layer on the bag of words."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn.initializers import Initializer

from jaxnets.checks import as_integers
from jaxnets.dtypes import readable, wide_dtype
from jaxnets.errors import LayerError
from jaxnets.layer import Array, Key, Layer, Params, stateless
from jaxnets.layers.channels import add_bias
from jaxnets.layers.checks import get_array
from jaxnets.layers.defaults import EMBEDDING_NORMAL, LECUN_NORMAL, ZEROS


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
        _expect_integers(name, x)
        return {"embedding": embedding_init(key, (vocabulary, features), jnp.float32)}

    def apply(params: Params, x: Array) -> Array:
        x = readable(x)
        _expect_integers(name, x)
        table = get_array(name, params, "embedding")
        return _take(table, _rows(x, vocabulary)).astype(table.dtype)

    return stateless(init, apply)


def bag_of_words(
    vocabulary: int,
    features: int,
    *,
    binary: bool = True,
    kernel_init: Initializer = LECUN_NORMAL,
    bias_init: Initializer = ZEROS,
) -> Layer:
    """A dense layer on the set of a text's tokens: indices (batch, length) to (batch, features).

    Computes `dense(features)` of the vectors (batch, vocabulary) with 1 at each token that occurs,
    but as the sum of the kernel's rows of these tokens, so that the vectors are never in memory.
    Index 0 is padding and adds nothing. An index outside the vocabulary gives NaN.

    Params: `kernel` (vocabulary, features) and `bias` (features,). Computes in the kernel's dtype,
    and sums in float32 or wider.

    Args:
      vocabulary: the number of indices, padding included.
      features: the number of outputs.
      binary: a token counts once; if false, as often as it occurs.
      kernel_init: initialises the kernel.
      bias_init: initialises the bias.

    Raises:
      LayerError: a size that is not a positive integer, or an input that is not of integers
        (batch, length).
    """
    name = f"bag_of_words({vocabulary}, {features})"
    sizes = {"vocabulary": vocabulary, "features": features}
    vocabulary, features = as_integers(name, error=LayerError, **sizes)

    def init(key: Key, x: Any) -> Params:
        _expect_rows_of_integers(x)
        kernel_key, bias_key = jax.random.split(key)
        return {
            "kernel": kernel_init(kernel_key, (vocabulary, features), jnp.float32),
            "bias": bias_init(bias_key, (features,), jnp.float32),
        }

    def apply(params: Params, x: Array) -> Array:
        x = readable(x)
        _expect_rows_of_integers(x)
        kernel, tokens = get_array(name, params, "kernel"), jnp.sort(_rows(x, vocabulary))
        counted = tokens != 0
        if binary:  # in sorted order, each token where it differs from the previous one
            counted &= jnp.diff(tokens, axis=1, prepend=-1) != 0
        rows = jnp.where(counted[..., None], _take(kernel, tokens), 0)
        return add_bias(rows.sum(1).astype(kernel.dtype), get_array(name, params, "bias"))

    def _expect_rows_of_integers(x: Any) -> None:
        _expect_integers(name, x)
        if len(x.shape) != 2:
            raise LayerError(
                f"{name} expects token indices (batch, length), but got {x.shape}; see "
                "Vocabulary.encode"
            )

    return stateless(init, apply)


def _expect_integers(name: str, x: Any) -> None:
    if not jnp.issubdtype(x.dtype, jnp.integer):
        raise LayerError(
            f"{name} expects integers but got {x.dtype}; "
            f"pass token indices, as in x.astype(jnp.int32)"
        )


def _take(table: Array, rows: Array) -> Array:
    """The rows of a table, in the dtype in which their gradients are summed; NaN for others."""
    wide = table.astype(wide_dtype(table.dtype))
    return wide.at[rows].get(mode="fill", fill_value=jnp.nan)


def _rows(x: Any, vocabulary: int) -> Array:
    """The indices in 32 bits; out-of-range ones become `vocabulary`, which "fill" maps to NaN."""
    is_numpy = isinstance(x, np.ndarray | np.generic)  # with 64-bit values that JAX would wrap
    if x.dtype.itemsize < 4:
        x = x.astype(jnp.int32)  # `vocabulary` may not fit in 8 or 16 bits
    inside = (x >= 0) & (x < vocabulary)
    return jnp.asarray((np if is_numpy else jnp).where(inside, x, vocabulary), jnp.int32)
