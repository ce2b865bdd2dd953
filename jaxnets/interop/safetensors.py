"""Nested dicts of arrays in one safetensors file, each tensor under its path."""

from pathlib import Path
from typing import Any

import jax

from jaxnets.files import written_whole
from jaxnets.trees import flatten_names, unflatten_names


def save(path: str | Path, tree: dict[str, Any], metadata: dict[str, str] | None = None) -> None:
    """Write `tree` to `path`, whole or not at all.

    `{"params": {"fc1": {"kernel": k}}}` becomes the tensor "params/fc1/kernel". The bytes go to
    a temporary file beside it, which takes the name only when they are on the disk.
    """
    from safetensors.flax import save as to_bytes

    data = to_bytes(flatten_names(jax.tree.map(jax.numpy.asarray, tree)), metadata)
    with written_whole(path) as file:
        file.write(data)


def load(path: str | Path) -> dict[str, Any]:
    """The tree that `save` wrote, as JAX arrays."""
    from safetensors.flax import load_file

    return unflatten_names(load_file(path))
