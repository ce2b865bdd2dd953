"""Data parallelism: every device has all parameters, and its share of every batch."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "batch"


def mesh_of(devices: int) -> Mesh | None:
    """The first so many devices in a row; None for one, which needs no mesh.

    Raises:
      ValueError: `devices` is no positive integer, or more than JAX has.
    """
    found = jax.devices()
    whole = isinstance(devices, int) and not isinstance(devices, bool) and devices > 0
    if not whole or devices > len(found):
        cure = "pass a positive integer"
        if whole:
            flag = f"XLA_FLAGS=--xla_force_host_platform_device_count={devices}"
            cure = f"a CPU becomes as many if {flag} is set before Python starts"
        kind = found[0].device_kind
        raise ValueError(
            f"expected at most {len(found)} devices, as JAX has ({kind}), but got {devices!r}; "
            f"{cure}"
        )
    if devices == 1:
        return None
    return jax.make_mesh((devices,), (AXIS,), axis_types=(AxisType.Auto,), devices=found[:devices])


def use_mesh(mesh: Mesh | None) -> AbstractContextManager[Any]:
    """In this context, what is traced is for these devices."""
    return nullcontext() if mesh is None else jax.set_mesh(mesh)


def replicate(mesh: Mesh | None, tree: Any) -> Any:
    """The tree with all of it on each device."""
    return tree if mesh is None else jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


def unshard(mesh: Mesh | None, tree: Any) -> Any:
    """The tree on the first device alone."""
    return tree if mesh is None else jax.device_put(tree, mesh.devices.flat[0])


def shard_batch(tree: Any) -> Any:
    """The tree, traced, with the first axis of each array divided over the devices in use."""
    constrain = jax.lax.with_sharding_constraint
    spec = PartitionSpec(AXIS)
    return jax.tree.map(lambda x: constrain(x, spec) if _divides(x.shape[0]) else x, tree)


def on_each(f: Callable[..., Any], axis: int) -> Callable[..., Any]:
    """`f(x, weights)`, computed by each device on its share of x along `axis`, as is the result.

    What XLA's partitioner would make of `f` may be slower than what `f` is for one device.
    """
    spec = PartitionSpec(*(None,) * axis, AXIS)

    def g(x: Any, weights: Any) -> Any:
        if not _divides(x.shape[axis]):
            return f(x, weights)
        shares = {"in_specs": (spec, PartitionSpec()), "out_specs": spec}
        return jax.shard_map(f, **shares, check_vma=False)(x, weights)

    return g


def _divides(extent: int) -> bool:
    """Whether the devices in use are several and can have equal shares."""
    sizes = jax.sharding.get_abstract_mesh().shape
    return sizes.get(AXIS, 1) > 1 and extent % sizes[AXIS] == 0
