"""Meshes of devices, and the functions that are traced for them.

The axis "batch" shards the rows of each batch, and "members" the members of a population. The rules
of a plan shard parameters over any axis.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, PartitionSpec

BATCH, MEMBERS = "batch", "members"


def mesh_of(axes: Mapping[str, int]) -> Mesh | None:
    """A mesh of the first devices with these axes and sizes; None for one device.

    Raises:
      ValueError: JAX has fewer devices, or one of its processes would have none of them.
    """
    devices, available = math.prod(axes.values()), jax.devices()
    if devices > len(available):
        flag = f"XLA_FLAGS=--xla_force_host_platform_device_count={devices}"
        raise ValueError(
            f"expected at most the {len(available)} devices of JAX ({available[0].device_kind}), "
            f"but got {devices}; to split a CPU into {devices}, set {flag} before starting Python"
        )
    if devices == 1:
        return None
    chosen = available[:devices]
    processes = {device.process_index for device in chosen}
    if jax.process_index() not in processes:
        raise ValueError(
            f"expected devices of every process, but the first {devices} of {len(available)} are "
            f"those of processes {sorted(processes)}, without {jax.process_index()}; use all "
            f"{len(available)}"
        )
    types = (AxisType.Auto,) * len(axes)
    return jax.make_mesh(tuple(axes.values()), tuple(axes), axis_types=types, devices=chosen)


def use_mesh(mesh: Mesh | None) -> AbstractContextManager[Any]:
    """A context in which functions are traced for the devices of the mesh."""
    return nullcontext() if mesh is None else jax.set_mesh(mesh)


def shard_batch(tree: Any) -> Any:
    """The tree, inside a trace, with the first axis of each array sharded over the mesh in use."""
    constrain = jax.lax.with_sharding_constraint
    spec = PartitionSpec(BATCH)
    return jax.tree.map(lambda x: constrain(x, spec) if _divides(BATCH, x.shape[0]) else x, tree)


def on_each(f: Callable[..., Any], axis: int) -> Callable[..., Any]:
    """`f(x, weights)` with x and the result sharded along `axis`, and weights replicated.

    XLA's automatic partitioning of `f` may be slower than `f` on each device's shard.
    """
    spec = PartitionSpec(*(None,) * axis, BATCH)

    def g(x: Any, weights: Any) -> Any:
        if not _divides(BATCH, x.shape[axis]):
            return f(x, weights)
        return _manual(f, BATCH, (spec, PartitionSpec()), spec)(x, weights)

    return g


def on_each_member(f: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """`f(per_member, shared)` on each device's members, if the mesh in use shards the members."""
    spec = PartitionSpec(MEMBERS)

    def run(per_member: Any, shared: Any) -> Any:
        if not _divides(MEMBERS, jax.tree.leaves(per_member)[0].shape[0]):
            return f(per_member, shared)
        return _manual(f, MEMBERS, (spec, PartitionSpec()), spec)(per_member, shared)

    return run


def _manual(f: Callable[..., Any], axis: str, in_specs: Any, out_specs: Any) -> Callable[..., Any]:
    """`f` on each shard along one axis of the mesh; XLA partitions along the others."""
    specs = {"in_specs": in_specs, "out_specs": out_specs}
    return jax.shard_map(f, **specs, axis_names={axis}, check_vma=False)


def _divides(axis: str, extent: int) -> bool:
    """Whether the mesh in use can split an array's axis of this extent into equal shards."""
    mesh = jax.sharding.get_abstract_mesh()
    size = mesh.shape[axis] if axis in mesh.auto_axes else 1
    return size > 1 and extent % size == 0
