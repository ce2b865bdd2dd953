"""A sharding plan: the axes of a mesh, and which parameters are sharded over them."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import PartitionSpec

from jaxnets.checks import as_integers
from jaxnets.errors import RunError
from jaxnets.sharding.mesh import BATCH, MEMBERS

Rule = tuple[str, PartitionSpec]
SMALL = 1024  # elements; FSDP leaves smaller arrays whole, since each costs a message to gather


@dataclass(frozen=True)
class ShardingPlan:
    """How a run is spread over devices; the result is that of one device, up to rounding.

    Data parallel: `ShardingPlan({"batch": 8})`. Fully sharded (ZeRO stage 3, Rajbhandari et al.
    2020): `ShardingPlan({"batch": 8}, fsdp=True)`. Tensor parallel (Megatron, Shoeybi et al. 2019):
    `ShardingPlan({"model": 4}, [("fc1/kernel", PartitionSpec(None, "model"))])`. A population with
    its members on different devices: `ShardingPlan({"members": 8})`. Products of these use one mesh
    with several axes. The optimizer's state is sharded like its parameters.

    Args:
      axes: the size of each axis of the mesh by its name. "batch" shards the rows of each batch and
        "members" the members of a population; rules use any axis.
      rules: pairs of a regular expression and a `PartitionSpec`. The first that matches the whole
        path of a parameter, as in "block1/fc1/kernel", shards its axes. Each must match one.
      fsdp: also shard each parameter of at least 1,024 elements over "batch", along its largest
        axis that is free and divides. `sharding_report` lists those that have none.

    Raises:
      RunError: an axis has no positive size, a rule is no such pair or names an unknown axis, or
        `fsdp` has no axis "batch".
    """

    axes: Mapping[str, int]
    rules: Sequence[Rule] = ()
    fsdp: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.axes, Mapping) or not self.axes:
            raise RunError(
                f"ShardingPlan expects axes by their names, but got {self.axes!r}; write "
                '{"batch": 8}'
            )
        axes = {str(name): size for name, size in self.axes.items()}
        sizes = as_integers("ShardingPlan", error=RunError, **axes)
        object.__setattr__(self, "axes", dict(zip(axes, sizes, strict=True)))
        object.__setattr__(self, "rules", tuple(map(self._checked, self.rules)))
        if self.fsdp and BATCH not in self.axes:
            raise RunError(
                f'ShardingPlan expects an axis "batch" for fsdp, but got {list(self.axes)}; add it'
            )

    def specs(self, shapes: Any) -> Any:
        """The `PartitionSpec` of each parameter, from a pytree of arrays or their shapes.

        Raises:
          RunError: a rule matches no parameter, or an axis does not divide.
        """
        paths = [
            jax.tree_util.keystr(path, simple=True, separator="/")
            for path, _ in jax.tree.leaves_with_path(shapes)
        ]
        for pattern, _ in self.rules:
            if not any(re.fullmatch(pattern, path) for path in paths):
                raise RunError(
                    f"ShardingPlan expects each rule to match a parameter, but {pattern!r} matches "
                    f"none of {', '.join(paths[:8])}{', ...' if len(paths) > 8 else ''}; a rule "
                    "matches the whole path"
                )
        leaves, structure = jax.tree.flatten(shapes)
        specs = [self._spec(*pair) for pair in zip(paths, leaves, strict=True)]
        return jax.tree.unflatten(structure, specs)

    def _spec(self, path: str, leaf: Any) -> PartitionSpec:
        matching = (spec for pattern, spec in self.rules if re.fullmatch(pattern, path))
        rule = next(matching, PartitionSpec())
        if len(rule) > len(leaf.shape):
            raise RunError(
                f"ShardingPlan expects at most {len(leaf.shape)} axes for {path} {leaf.shape}, but "
                f"its rule has {len(rule)}: {rule}; shorten the rule"
            )
        axes = [*rule, *[None] * (len(leaf.shape) - len(rule))]
        for axis, names in enumerate(axes):
            if leaf.shape[axis] % (shards := self.shards(names)):
                raise RunError(
                    f"ShardingPlan expects axes that divide, but axis {axis} of {path} "
                    f"{leaf.shape} cannot be split in {shards} along {names!r}; shard another axis "
                    "or change the size"
                )
        return PartitionSpec(*self._with_fsdp(leaf, axes))

    def _with_fsdp(self, leaf: Any, axes: list) -> list:
        """The axes, with the largest free one that divides over "batch"."""
        used = {name for names in axes for name in as_tuple(names)}
        if not self.fsdp or leaf.size < SMALL or BATCH in used:
            return axes
        free = [
            axis
            for axis, names in enumerate(axes)
            if names is None and leaf.shape[axis] % self.axes[BATCH] == 0
        ]
        if free:
            axes[max(free, key=lambda axis: leaf.shape[axis])] = BATCH
        return axes

    def shards(self, names: Any) -> int:
        """The number of parts into which these axes of the mesh split an array's axis."""
        return math.prod(self.axes.get(name, 1) for name in as_tuple(names))

    def _checked(self, rule: Any) -> Rule:
        """The rule, with a `PartitionSpec` and a valid pattern."""
        try:
            pattern, spec = rule
            re.compile(pattern)
            spec = PartitionSpec(*spec)
        except (TypeError, ValueError, re.error) as error:
            raise RunError(
                f"ShardingPlan expects rules (pattern, PartitionSpec), but got {rule!r} ({error}); "
                'write ("fc1/kernel", PartitionSpec(None, "model"))'
            ) from None
        unknown = {name for names in spec for name in as_tuple(names)} - self.axes.keys()
        if unknown or MEMBERS in {name for names in spec for name in as_tuple(names)}:
            raise RunError(
                f"ShardingPlan expects rules with the axes {[n for n in self.axes if n != MEMBERS]}"
                f", but {pattern!r} has {spec}; add the axis to axes"
            )
        return pattern, spec


def as_tuple(names: Any) -> tuple:
    """The axes of the mesh in one entry of a `PartitionSpec`."""
    return () if names is None else names if isinstance(names, tuple) else (names,)
