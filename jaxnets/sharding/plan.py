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
SMALL = 1024  # elements; FSDP does not shard smaller arrays, since gathering each costs a message


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
        "members" the members of a population; rules use any axis but "members".
      rules: pairs of a regular expression and a `PartitionSpec`. The first that matches the whole
        path of a parameter, as in "block1/fc1/kernel", shards its axes. Each must match one.
      fsdp: also shard each parameter of at least 1,024 elements over "batch", along its largest
        free axis that is divisible. `sharding_report` lists those that have none.

    Raises:
      RunError: an axis has no positive size or shards nothing, a rule is no such pair or names an
        unknown axis, or `fsdp` has no axis "batch".
    """

    axes: Mapping[str, int]
    rules: Sequence[Rule] = ()
    fsdp: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "axes", _checked_axes(self.axes))
        if not isinstance(self.rules, Sequence) or isinstance(self.rules, str):
            raise RunError(
                f"ShardingPlan expects a list of rules, but got {self.rules!r}; write "
                '[("fc1/kernel", PartitionSpec(None, "model"))]'
            )
        object.__setattr__(self, "rules", tuple(map(self._checked, self.rules)))
        if not isinstance(self.fsdp, bool):
            raise RunError(
                f"ShardingPlan expects fsdp to be a bool, but got {self.fsdp!r}; pass True or False"
            )
        if self.fsdp and BATCH not in self.axes:
            raise RunError(
                f'ShardingPlan expects an axis "batch" for fsdp, but got {list(self.axes)}; add it'
            )
        used = {BATCH, MEMBERS}.union(*(_names(spec) for _, spec in self.rules))
        if unused := [name for name, size in self.axes.items() if size > 1 and name not in used]:
            raise RunError(
                'ShardingPlan expects each axis to be "batch", "members" or in a rule, but got '
                f"{unused}, over which nothing is sharded; the axis of data parallelism is "
                '"batch"'
            )

    def specs(self, shapes: Any) -> Any:
        """The `PartitionSpec` of each parameter, from a pytree of arrays or their shapes.

        Raises:
          RunError: a rule matches no parameter, or an axis is not divisible.
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
                    f"ShardingPlan expects sharded axes to be divisible, but axis {axis} of {path} "
                    f"{leaf.shape} is not divisible by {shards} ({names!r}); shard another axis or "
                    "change the size"
                )
        return PartitionSpec(*self._with_fsdp(leaf, axes))

    def _with_fsdp(self, leaf: Any, axes: list) -> list:
        """The axes, with "batch" for the largest free one that is divisible."""
        if not self.fsdp or leaf.size < SMALL or BATCH in _names(PartitionSpec(*axes)):
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
            if not isinstance(spec, PartitionSpec | tuple):
                raise TypeError(f"{spec!r} is not a PartitionSpec")
            spec = PartitionSpec(*spec)
            names = _names(spec)
            if len(set(names)) < len(names):
                raise ValueError("an axis is used twice")
        except (TypeError, ValueError, re.error) as error:
            raise RunError(
                f"ShardingPlan expects rules (pattern, PartitionSpec), but got {rule!r} ({error}); "
                'write ("fc1/kernel", PartitionSpec(None, "model"))'
            ) from None
        if set(names) - self.axes.keys() or MEMBERS in names:
            cure = 'use another than "members"' if MEMBERS in names else "add the axis to axes"
            raise RunError(
                f"ShardingPlan expects rules with the axes {[n for n in self.axes if n != MEMBERS]}"
                f", but {pattern!r} has {spec}; {cure}"
            )
        return pattern, spec


def _checked_axes(axes: Any) -> dict[str, int]:
    """The sizes as Python integers."""
    if not isinstance(axes, Mapping) or not axes:
        raise RunError(
            f'ShardingPlan expects axes by their names, but got {axes!r}; write {{"batch": 8}}'
        )
    for name in axes:
        if not isinstance(name, str) or not name:
            raise RunError(
                f"ShardingPlan expects names of axes, but got {name!r} in {axes!r}; write "
                '{"batch": 8}'
            )
    named = {f"axes[{name!r}]": size for name, size in axes.items()}
    return dict(zip(axes, as_integers("ShardingPlan", error=RunError, **named), strict=True))


def _names(spec: PartitionSpec) -> list:
    """The axes of the mesh in a `PartitionSpec`."""
    return [name for names in spec for name in as_tuple(names)]


def as_tuple(names: Any) -> tuple:
    """The axes of the mesh in one entry of a `PartitionSpec`."""
    return () if names is None else names if isinstance(names, tuple) else (names,)
