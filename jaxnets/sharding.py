"""Data parallelism: parameters are replicated, and batches are sharded over the devices."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "batch"


def mesh_of(devices: int) -> Mesh | None:
    """A one-dimensional mesh of the first `devices` devices; None for one device.

    Raises:
      ValueError: `devices` is not a positive integer, or is more than JAX has.
    """
    available = jax.devices()
    is_positive = isinstance(devices, int) and not isinstance(devices, bool) and devices > 0
    if not is_positive or devices > len(available):
        cure = "pass a positive integer"
        if is_positive:
            flag = f"XLA_FLAGS=--xla_force_host_platform_device_count={devices}"
            cure = f"set {flag} before Python starts to split a CPU into as many"
        kind = available[0].device_kind
        raise ValueError(
            f"expected at most {len(available)} devices, as JAX has ({kind}), but got {devices!r}; "
            f"{cure}"
        )
    if devices == 1:
        return None
    chosen = available[:devices]
    return jax.make_mesh((devices,), (AXIS,), axis_types=(AxisType.Auto,), devices=chosen)


def use_mesh(mesh: Mesh | None) -> AbstractContextManager[Any]:
    """A context in which functions are traced for the devices of the mesh."""
    return nullcontext() if mesh is None else jax.set_mesh(mesh)


def replicate(mesh: Mesh | None, tree: Any) -> Any:
    """The tree with a full copy on each device."""
    return tree if mesh is None else jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def unshard(mesh: Mesh | None, tree: Any) -> Any:
    """The tree on the first device only."""
    return tree if mesh is None else jax.device_put(tree, mesh.devices.flat[0])


def shard_batch(tree: Any) -> Any:
    """The tree, inside a trace, with the first axis of each array sharded over the mesh in use."""
    constrain = jax.lax.with_sharding_constraint
    spec = PartitionSpec(AXIS)
    return jax.tree.map(lambda x: constrain(x, spec) if _divides(x.shape[0]) else x, tree)


def on_each(f: Callable[..., Any], axis: int) -> Callable[..., Any]:
    """`f(x, weights)` with x and the result sharded along `axis`, and weights replicated.

    XLA's automatic partitioning of `f` may be slower than `f` on each device's shard.
    """
    spec = PartitionSpec(*(None,) * axis, AXIS)

    def g(x: Any, weights: Any) -> Any:
        if not _divides(x.shape[axis]):
            return f(x, weights)
        specs = {"in_specs": (spec, PartitionSpec()), "out_specs": spec}
        return jax.shard_map(f, **specs, check_vma=False)(x, weights)

    return g


def _divides(extent: int) -> bool:
    """Whether several devices are in use and can have equal shards of an axis of this size."""
    sizes = jax.sharding.get_abstract_mesh().shape
    return sizes.get(AXIS, 1) > 1 and extent % sizes[AXIS] == 0
