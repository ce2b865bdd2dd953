"""What each device holds of a train state under a sharding plan."""

import math
from typing import Any, NamedTuple

import jax
from jax.sharding import PartitionSpec

from jaxnets.sharding import BATCH, ShardingPlan
from jaxnets.sharding.plan import SMALL, as_tuple
from jaxnets.training.train_step import TrainState


class HeldLeaf(NamedTuple):
    """An array of a train state, and the part of it that each device holds.

    Attributes:
      path: its path in the train state, as in "params/fc1/kernel".
      shape: the shape of the whole array.
      dtype: its dtype.
      spec: the axis of the mesh that shards each of its axes.
      size: bytes of the whole array.
      held: bytes on each device.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    spec: PartitionSpec
    size: int
    held: int


class ShardingReport(NamedTuple):
    """What each device holds of a train state, before anything runs; `print` shows a table.

    Attributes:
      leaves: every array of the train state.
      unsharded: the paths of large params that FSDP does not shard over "batch", since no free
        axis is divisible.
    """

    leaves: tuple[HeldLeaf, ...]
    unsharded: tuple[str, ...]

    @property
    def size(self) -> int:
        """Bytes of the whole train state."""
        return sum(leaf.size for leaf in self.leaves)

    @property
    def held(self) -> int:
        """Bytes of the train state on each device."""
        return sum(leaf.held for leaf in self.leaves)

    def __str__(self) -> str:
        width = max(len(leaf.path) for leaf in self.leaves)
        lines = [
            f"{leaf.path:{width}}  {leaf.dtype} {leaf.shape}  {_axes(leaf.spec)}  {leaf.held:,} of "
            f"{leaf.size:,} bytes"
            for leaf in self.leaves
        ]
        lines.append(f"each device holds {self.held:,} of {self.size:,} bytes")
        if self.unsharded:
            names = ", ".join(self.unsharded)
            lines.append(f'not sharded over "batch", since no free axis is divisible: {names}')
        return "\n".join(lines)


def report_of(
    plan: ShardingPlan, shapes: Any, specs: Any, members: int | None = None
) -> ShardingReport:
    """The report of a train state with these shapes and specs; with `members`, of a population."""
    held = []
    for (path, leaf), spec in zip(
        jax.tree.leaves_with_path(shapes), jax.tree.leaves(specs), strict=True
    ):
        size = math.prod(leaf.shape) * leaf.dtype.itemsize
        shards = math.prod(plan.shards(names) for names in spec)
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        held.append(HeldLeaf(name, leaf.shape, str(leaf.dtype), spec, size, size // shards))
    is_param = "params/" if isinstance(shapes, TrainState) else ""
    unsharded = [
        leaf.path
        for leaf in held
        if plan.fsdp
        and leaf.path.startswith(is_param)
        and not any(BATCH in as_tuple(names) for names in leaf.spec)
        and math.prod(leaf.shape) // (members or 1) >= SMALL
    ]
    return ShardingReport(tuple(held), tuple(unsharded))


def _axes(spec: PartitionSpec) -> str:
    return f"({', '.join(map(str, spec))})" if any(spec) else "whole"
