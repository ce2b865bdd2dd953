"""Random streams: named before they are numbered, so that no two ever share a key."""

from zlib import crc32

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.layer import Array, Key


def hash_name(name: str) -> np.uint32:
    """The number a name stands for in `fold_in`: its CRC-32, the same on every machine."""
    return np.uint32(crc32(name.encode()))


def stream(key: Key, name: str, *counts: int | Array) -> Key:
    """The key of stream `name`, then of each count in turn: `stream(key, "order", epoch)`."""
    key = jax.random.fold_in(key, hash_name(name))
    for count in counts:
        key = jax.random.fold_in(key, count)
    return key


def where(condition: Array | np.ndarray, a: Array, b: Array) -> Array:
    """`jnp.where`, for keys too that may have been drawn from: choosing one draws nothing."""
    if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
        a, b = jax.random.clone(a), jax.random.clone(b)
    return jnp.where(condition, a, b)
