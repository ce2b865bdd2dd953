"""Random key streams: derived by name, then by count, so that no two streams share a key."""

from typing import Any
from zlib import crc32

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.layer import Array, Key


def hash_name(name: str) -> np.uint32:
    """The number to fold in for a name: its CRC-32, the same on every machine."""
    return np.uint32(crc32(name.encode()))


def stream(key: Key, name: str, *counts: int | Array) -> Key:
    """The key of stream `name`, then of each count in turn: `stream(key, "order", epoch)`."""
    key = jax.random.fold_in(key, hash_name(name))
    for count in counts:
        key = jax.random.fold_in(key, count)
    return key


def clone_keys(tree: Any) -> Any:
    """The tree with its keys cloned, to pass to a function that does not use them."""

    def leaf(x: Any) -> Any:
        is_key = jnp.issubdtype(jnp.result_type(x), jax.dtypes.prng_key)
        return jax.random.clone(x) if is_key else x

    return jax.tree.map(leaf, tree)


def where(condition: Array | np.ndarray, a: Array, b: Array) -> Array:
    """`jnp.where` that also selects between used keys without an error for key reuse."""
    if not jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
        return jnp.where(condition, a, b)
    data = (jax.random.key_data(jax.random.clone(key)) for key in (a, b))
    selected = jnp.where(jnp.asarray(condition)[..., None], *data)
    return jax.random.wrap_key_data(selected, impl=jax.random.key_impl(b))
