"""Nested dicts of arrays in one safetensors file, each tensor under its path."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets import tensors
from jaxnets.files import regular_file, written_whole
from jaxnets.trees import flatten_names, unflatten_names


def save(path: str | Path, tree: dict[str, Any], metadata: dict[str, str] | None = None) -> None:
    """Write `tree` to `path`, whole or not at all.

    `{"params": {"fc1": {"kernel": k}}}` becomes the tensor "params/fc1/kernel". The bytes go to
    a temporary file beside it, which takes the name only when they are on the disk.
    """
    arrays = flatten_names(jax.tree.map(jnp.asarray, tree))
    pieces = tensors.to_pieces(arrays, metadata or {})
    with written_whole(path) as file:
        file.writelines(pieces)


def load(path: str | Path) -> dict[str, Any]:
    """The tree that `save` wrote, as JAX arrays.

    Raises:
      OSError: there is no such file, or it is no regular one.
      ValueError: it holds no tree of arrays in the safetensors format.
    """
    with regular_file(path) as file:
        content = file.read()
    try:
        arrays = tensors.from_bytes(content).arrays
        for name in arrays:
            _refuse_leaf_above(name, arrays)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as safetensors: {error}") from error
    return unflatten_names({name: jnp.array(array) for name, array in arrays.items()})


def _refuse_leaf_above(name: str, arrays: dict[str, Any]) -> None:
    parents = name.split("/")[:-1]
    for depth in range(1, len(parents) + 1):
        if (above := "/".join(parents[:depth])) in arrays:
            raise ValueError(f"{name!r} lies under {above!r}, which is an array")
