"""Saves and loads nested dicts of arrays as safetensors files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets import tensors
from jaxnets.files import atomic_write, regular_file
from jaxnets.json_files import decode
from jaxnets.messages import printable
from jaxnets.trees import flatten_names, unflatten_names

DEPTH = 100  # nesting depth; a malicious name could have thousands of levels
EMPTY = "jaxnets.empty"  # the metadata's entry with the paths of empty dicts, which have no arrays


def save(path: str | Path, tree: dict[str, Any], metadata: dict[str, str] | None = None) -> None:
    """Write `tree` to `path`, atomically.

    `{"params": {"fc1": {"kernel": k}}}` becomes the tensor "params/fc1/kernel". JAX and NumPy
    arrays keep their dtype, including 64-bit ones; Python numbers get JAX's default dtype. Empty
    dicts, such as the state of a network without batch norm, are listed in the metadata.

    Raises:
      OSError: as the system raises it, for example for a full disk.
      ValueError: a leaf is not an array with a dtype of the format, or two have the same path.
    """
    arrays, entries = to_arrays(tree)
    buffers = tensors.to_buffers(arrays, {**(metadata or {}), **entries})
    with atomic_write(path) as file:
        file.writelines(buffers)


def to_arrays(tree: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The arrays of a tree by path, and the entries that a file's metadata needs besides.

    Raises:
      ValueError: as for `save`.
    """
    arrays = {name: _as_array(name, leaf) for name, leaf in flatten_names(tree).items()}
    paths = list(_empty_paths((), tree))
    return arrays, {EMPTY: json.dumps(paths)} if paths else {}


def load(path: str | Path) -> dict[str, Any]:
    """The tree that `save` wrote, as JAX arrays with identical bits; empty dicts included.

    A leaf with a dtype that JAX would cast (64 bits, without `jax_enable_x64`) stays a NumPy array;
    cast it yourself if 32 bits are enough.

    Raises:
      OSError: the file does not exist, or is not a regular file.
      ValueError: it is not a tree of arrays in the safetensors format.
    """
    with regular_file(path) as file:
        try:
            tensors.read_header(file)  # raises if the file is longer than its header says
            file.seek(0)
            return to_tree(*tensors.from_bytes(file.read()))
        except ValueError as error:
            raise ValueError(
                f"{printable(path)} cannot be read as safetensors: {printable(error)}; "
                "save it again, or load another file"
            ) from error


def to_tree(arrays: dict[str, np.ndarray], metadata: dict[str, str]) -> dict[str, Any]:
    """The inverse of `to_arrays`, for untrusted arrays and metadata.

    Raises:
      ValueError: they are not those of a tree.
    """
    empty = _read_empty(metadata.get(EMPTY, "[]"))
    leaves = {**dict.fromkeys(empty), **arrays}
    if len(leaves) < len(arrays) + len(empty):
        raise ValueError("an empty dict has the path of an array")
    for name in filter(None, leaves):
        _check_path(name, leaves)
    parts = {name: {} for name in filter(None, empty)}
    return unflatten_names(parts | {name: _as_jax(array) for name, array in arrays.items()})


def _empty_paths(names: tuple[str, ...], tree: Any) -> Iterator[str]:
    if isinstance(tree, dict) and not tree:
        yield "/".join(names)  # "" for the whole tree
    elif isinstance(tree, dict):
        for name, part in tree.items():
            yield from _empty_paths((*names, name), part)


def _read_empty(text: str) -> list[str]:
    paths = decode(text)
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise ValueError(f"its {EMPTY} is not a list of paths")
    if len(set(paths)) < len(paths):
        raise ValueError(f"its {EMPTY} has a path twice")
    return paths


def _as_array(name: str, leaf: Any) -> Any:
    """An array unchanged, or a Python number as an array of JAX's default dtype."""
    if isinstance(leaf, jax.Array | np.ndarray | np.generic):
        return leaf
    if not isinstance(leaf, bool | int | float | complex):
        raise ValueError(
            f"safetensors expects arrays, but {name!r} is a {type(leaf).__name__}; convert lists "
            "and tuples to dicts, and leave None out"
        )
    dtype = jnp.result_type(type(leaf))
    try:
        with np.errstate(over="raise"):
            return np.asarray(leaf, dtype)
    except (OverflowError, FloatingPointError) as error:
        raise ValueError(
            f"{name!r} is {leaf!r}, which does not fit in {dtype}; pass it as a 64-bit array, for "
            "example by numpy.asarray"
        ) from error


def _as_jax(array: np.ndarray) -> Any:
    return jax.device_put(array) if jnp.result_type(array) == array.dtype else array


def _check_path(name: str, arrays: dict[str, Any]) -> None:
    """Raise for a path that is too deep, or has an array as its parent."""
    parents = name.split("/", DEPTH)[:-1]
    if len(parents) == DEPTH:
        raise ValueError(
            f"an array is nested at least {DEPTH} levels deep, {printable(name)!r:.99}"
        )
    for depth in range(1, len(parents) + 1):
        if (parent := "/".join(parents[:depth])) in arrays:
            raise ValueError(
                f"{name!r} has the parent {parent!r}, which is an array or an empty dict"
            )
