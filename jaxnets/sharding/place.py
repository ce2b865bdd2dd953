"""Arrays on a mesh, which may have devices of several processes."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxnets.arrays import on_device
from jaxnets.sharding.mesh import BATCH


def place(tree: Any, shardings: Any) -> Any:
    """The tree with these shardings; arrays that this process holds need no collective.

    Args:
      tree: a pytree of arrays; process-local ones must have the same values in every process.
      shardings: a pytree of the same structure of `NamedSharding`s.
    """
    return jax.tree.map(_place, tree, shardings)


def replicate(mesh: Mesh | None, tree: Any) -> Any:
    """The tree with a full copy on each device; what is on the mesh already stays as it is."""
    if mesh is None:
        return tree
    full = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(lambda leaf: leaf if _is_on(mesh, leaf) else _place(leaf, full), tree)


def place_like(tree: Any, template: Any) -> Any:
    """The tree with each leaf on the mesh of the template's leaf; other leaves stay as they are."""

    def leaf(value: Any, like: Any) -> Any:
        sharding = getattr(like, "sharding", None)
        return _place(value, sharding) if isinstance(sharding, NamedSharding) else value

    return jax.tree.map(leaf, tree, template)


def unshard(tree: Any) -> Any:
    """The tree on this process's first device, if every device holds all of it; else as it is."""
    leaves = jax.tree.leaves(tree)
    if mesh_in(tree) is None or not all(leaf.is_fully_replicated for leaf in leaves):
        return tree
    return jax.tree.map(_first_copy, tree)


def to_host(tree: Any) -> Any:
    """The tree as NumPy arrays; gathers what other processes hold, in a collective."""

    def fetch(leaf: Any) -> np.ndarray:
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            mesh = leaf.sharding.mesh  # type: ignore[attr-defined]
            leaf = _reshard(leaf, NamedSharding(mesh, PartitionSpec()))
        return np.asarray(leaf)

    return jax.tree.map(fetch, tree)


def mesh_in(tree: Any) -> Mesh | None:
    """The mesh whose devices hold the tree; None for a single device or NumPy arrays."""
    for leaf in jax.tree.leaves(tree):
        sharding = getattr(leaf, "sharding", None)
        if isinstance(sharding, NamedSharding) and sharding.mesh.size > 1:
            return sharding.mesh  # type: ignore[return-value]
    return None


def shardings_of(tree: Any) -> tuple[Any, ...]:
    """The sharding of each leaf."""
    return tuple(getattr(leaf, "sharding", None) for leaf in jax.tree.leaves(tree))


def place_rows(mesh: Mesh | None, tree: Any) -> Any:
    """NumPy arrays on the mesh with their rows sharded; each process copies only its own rows."""
    if mesh is None:
        return tree
    rows = np.arange(len(jax.tree.leaves(tree)[0]))
    return from_rows(mesh, rows, lambda part: jax.tree.map(lambda array: array[part], tree))


def from_rows(mesh: Mesh | None, rows: np.ndarray, read: Callable[[np.ndarray], Any]) -> Any:
    """The arrays `read(rows)` on the mesh, with the last axis of `rows` sharded over "batch".

    Args:
      mesh: None for a single device.
      rows: integers (..., batch), equal in all processes.
      read: a function of integers (..., some) that returns a pytree of NumPy arrays
        (..., some, ...), whose other axes may be longer. A process calls it only for the rows of
        its own devices.
    """
    if mesh is None:
        return jax.tree.map(on_device, read(rows))
    axis = rows.ndim - 1
    splits = rows.shape[axis] % mesh.shape.get(BATCH, 1) == 0 and BATCH in mesh.shape
    sharding = NamedSharding(mesh, PartitionSpec(*[None] * axis, BATCH if splits else None))
    indices = sharding.addressable_devices_indices_map(rows.shape)
    parts = {d: index[axis].indices(rows.shape[axis]) for d, index in indices.items() if index}
    shards = {part: read(rows[..., slice(*part)]) for part in sorted(set(parts.values()))}
    columns = {part: i for i, part in enumerate(shards)}

    def assemble(*pieces: np.ndarray) -> jax.Array:
        shape = (*pieces[0].shape[:axis], rows.shape[axis], *pieces[0].shape[axis + 1 :])
        held = [jax.device_put(pieces[columns[part]], device) for device, part in parts.items()]
        return jax.make_array_from_single_device_arrays(shape, sharding, held)

    return jax.tree.map(assemble, *shards.values())


def _place(leaf: Any, sharding: NamedSharding) -> Any:
    if isinstance(leaf, jax.Array) and leaf.sharding == sharding:
        return leaf
    if jax.process_count() == 1:
        return jax.device_put(leaf, sharding)
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return _reshard(leaf, sharding)
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = _place(jax.random.key_data(leaf), sharding)  # a callback returns no typed keys
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    array = np.asarray(leaf)
    array = array.astype(jax.dtypes.canonicalize_dtype(array.dtype))
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def _reshard(leaf: jax.Array, sharding: NamedSharding) -> jax.Array:
    return jax.jit(lambda x: x, out_shardings=sharding)(leaf)


def _is_on(mesh: Mesh, leaf: Any) -> bool:
    sharding = getattr(leaf, "sharding", None)
    return isinstance(sharding, NamedSharding) and sharding.mesh == mesh


def _first_copy(leaf: jax.Array) -> jax.Array:
    if leaf.is_fully_addressable:
        return jax.device_put(leaf, leaf.sharding.mesh.devices.flat[0])  # type: ignore[attr-defined]
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = _first_copy(jax.random.key_data(leaf))
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    return on_device(np.asarray(leaf.addressable_data(0)))
