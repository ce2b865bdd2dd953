"""Nested dicts of arrays in one safetensors file, each tensor under its path."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets import tensors
from jaxnets.files import atomic_write, regular_file
from jaxnets.messages import printable
from jaxnets.trees import flatten_names, unflatten_names

DEPTH = 100  # dicts in one another: no network has so many, and one name could ask for thousands


def save(path: str | Path, tree: dict[str, Any], metadata: dict[str, str] | None = None) -> None:
    """Write `tree` to `path`, whole or not at all.

    `{"params": {"fc1": {"kernel": k}}}` becomes the tensor "params/fc1/kernel". JAX and NumPy
    arrays keep their dtype, 64 bits too; Python's own numbers get JAX's default one. The bytes go
    to a temporary file beside `path`, which takes the name only when they are on the disk.

    Raises:
      OSError: the system's own, as for a full disk.
      ValueError: a leaf is no array of a dtype that the format has, or two have the same path.
    """
    arrays = {name: _as_array(name, leaf) for name, leaf in flatten_names(tree).items()}
    pieces = tensors.to_pieces(arrays, metadata or {})
    with atomic_write(path) as file:
        file.writelines(pieces)


def load(path: str | Path) -> dict[str, Any]:
    """The tree that `save` wrote, bit for bit, as JAX arrays.

    A leaf of a dtype that JAX would cast (64 bits, without `jax_enable_x64`) stays the NumPy array
    that it is in the file; cast it yourself where fewer bits do.

    Raises:
      OSError: there is no such file, or it is no regular one.
      ValueError: it holds no tree of arrays in the safetensors format.
    """
    with regular_file(path) as file:
        try:
            tensors.read_header(file)  # which refuses a file that is longer than it says
            file.seek(0)
            arrays = tensors.from_bytes(file.read()).arrays
            for name in arrays:
                _check_place(name, arrays)
        except ValueError as error:
            raise ValueError(
                f"{printable(path)} cannot be read as safetensors: {printable(error)}; "
                "save it again, or name another file"
            ) from error
    return unflatten_names({name: _as_jax(array) for name, array in arrays.items()})


def _as_array(name: str, leaf: Any) -> Any:
    """A leaf as an array of its own dtype, a number of Python's as one of JAX's default dtype."""
    if isinstance(leaf, jax.Array | np.ndarray | np.generic):
        return leaf
    if not isinstance(leaf, bool | int | float | complex):
        raise ValueError(
            f"safetensors expects arrays, but {name!r} is a {type(leaf).__name__}; name the parts "
            "of lists and tuples in a dict, and leave None out"
        )
    dtype = jnp.result_type(type(leaf))
    try:
        with np.errstate(over="raise"):
            return np.asarray(leaf, dtype)
    except (OverflowError, FloatingPointError) as error:
        raise ValueError(
            f"{name!r} is {leaf!r}, which {dtype} cannot hold; pass it as an array of 64 bits, as "
            "numpy.asarray makes it"
        ) from error


def _as_jax(array: np.ndarray) -> Any:
    return jnp.array(array) if jnp.result_type(array) == array.dtype else array


def _check_place(name: str, arrays: dict[str, Any]) -> None:
    """Refuse a path that is absurdly deep, or lies under another array."""
    parents = name.split("/", DEPTH)[:-1]
    if len(parents) == DEPTH:
        raise ValueError(f"an array lies under {DEPTH} names and more, {printable(name)!r:.99}")
    for depth in range(1, len(parents) + 1):
        if (above := "/".join(parents[:depth])) in arrays:
            raise ValueError(f"{name!r} lies under {above!r}, which is an array")
