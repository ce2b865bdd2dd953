"""Converts a pytree to named arrays and back; mismatches are reported for every leaf."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.errors import CheckpointError
from jaxnets.layer import Array
from jaxnets.messages import printable
from jaxnets.tensors import DTYPES


class Leaf(NamedTuple):
    """The dtype and shape of a stored array.

    Attributes:
      dtype: the dtype's name, as in "float32".
      shape: the shape; for a typed PRNG key, that of its `key_data`.
      key: the implementation of a typed PRNG key, as in "threefry2x32"; None for any other array.
    """

    dtype: str
    shape: tuple[int, ...]
    key: str | None = None

    def __str__(self) -> str:
        return f"{f'{self.key} key, ' if self.key else ''}{self.dtype} {self.shape}"


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves of a pytree by their paths, as in "params/fc1/kernel"."""
    pairs = jax.tree_util.tree_flatten_with_path(tree)[0]
    leaves = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in pairs}
    if len(leaves) < len(pairs):
        raise CheckpointError(
            f"a checkpoint expects leaves with distinct paths, but {len(pairs)} leaves have only "
            f"{len(leaves)} different paths; rename dict keys that contain a slash, or that are "
            "both a number and its digits"
        )
    return leaves


def describe_leaves(tree: Any) -> dict[str, Leaf]:
    """The `Leaf` of each array or `jax.ShapeDtypeStruct` of a pytree, by its path.

    Raises:
      CheckpointError: a NumPy leaf has a dtype that JAX would cast.
    """
    leaves = named_leaves(tree)
    keys: dict[str, str] = {}

    def as_data(leaves: dict[str, Any]) -> dict[str, Any]:
        for name, leaf in leaves.items():
            if _is_key(leaf):  # `key_impl` of a ShapeDtypeStruct works only while tracing
                keys[name] = str(jax.random.key_impl(leaf))
        return _as_data(leaves)

    specs = jax.eval_shape(as_data, leaves)
    for name, leaf in leaves.items():
        dtype = getattr(leaf, "dtype", None)
        if name not in keys and dtype is not None and dtype != specs[name].dtype:
            raise CheckpointError(
                f"{name} is {dtype}, which JAX would cast to {specs[name].dtype}; cast it yourself "
                "or set jax_enable_x64"
            )
    # JAX sorts the names of a dict; keep the order of the tree.
    return {n: Leaf(specs[n].dtype.name, specs[n].shape, keys.get(n)) for n in leaves}


def copy_leaves(tree: Any) -> dict[str, Array]:
    """A copy of every leaf on its device, by its path, with one program; keys as their data."""
    return _copy(named_leaves(tree))


def rebuild_tree(template: Any, arrays: Mapping[str, Any]) -> Any:
    """A pytree with the template's structure from arrays that fit it."""
    leaves = []
    for name, leaf in describe_leaves(template).items():
        array = arrays[name]
        array = array if isinstance(array, jax.Array) else jax.device_put(array)
        leaves.append(array if leaf.key is None else jax.random.wrap_key_data(array, impl=leaf.key))
    return jax.tree.unflatten(jax.tree.structure(template), leaves)


def check_storable(leaves: Mapping[str, Leaf]) -> None:
    """Refuse dtypes that the file format does not support."""
    if other := {name: leaf.dtype for name, leaf in leaves.items() if leaf.dtype not in DTYPES}:
        raise CheckpointError(
            f"a checkpoint expects leaves of {', '.join(DTYPES)}, but got {other}; cast them"
        )


def check_leaves(expected: Mapping[str, Leaf], stored: Mapping[str, Leaf], where: Path) -> None:
    """Refuse a checkpoint whose leaves differ from the expected ones.

    Raises:
      CheckpointError: lists every leaf that is missing, unknown or different.
    """
    lines = [
        f"  {printable(name)}: expected {expected.get(name, 'no such leaf')}, but got "
        f"{printable(stored.get(name, 'no such leaf'))}"
        for name in [*expected, *sorted(stored.keys() - expected.keys())]
        if expected.get(name) != stored.get(name)
    ]
    if lines:
        raise CheckpointError(
            "\n".join([f"{printable(where)} does not fit the template:", *lines])
            + "\nRestore it with the model, optimizer, dtypes and key that it was saved with, or "
            "start over in another folder."
        )


@jax.jit
def _copy(leaves: dict[str, Any]) -> dict[str, Array]:
    return jax.tree.map(jnp.copy, _as_data(leaves))


def _as_data(leaves: dict[str, Any]) -> dict[str, Any]:
    return {n: jax.random.key_data(x) if _is_key(x) else x for n, x in leaves.items()}


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
