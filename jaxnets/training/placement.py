"""How the leaves of a train state are sharded, and how much of it each device holds."""

import math
import warnings
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxnets.arrays import shape_of
from jaxnets.errors import RunError
from jaxnets.sharding import BATCH, MEMBERS, ShardingPlan, mesh_of, place
from jaxnets.sharding.plan import SMALL, as_tuple
from jaxnets.training.train_step import Hparams, TrainState, resolve

WHOLE = PartitionSpec()


def state_specs(plan: ShardingPlan, shapes: Any) -> Any:
    """The `PartitionSpec` of each leaf of one model's train state.

    The optimizer's state is sharded like the params it belongs to; the model's state is whole. All
    leaves of a train state that is not a `TrainState` count as params.
    """
    if not isinstance(shapes, TrainState):
        return plan.specs(shapes)
    params = plan.specs(shapes.params)
    opt_state = _like_params(shapes.opt_state, shapes.params, params)
    return TrainState(WHOLE, params, _whole(shapes.model_state), opt_state, WHOLE)  # type: ignore


def state_shardings(mesh: Any, plan: Any, shapes: Any, members: int | None = None) -> Any:
    """The sharding of each leaf of a train state; with `members`, leaves have an axis of them."""
    specs = _specs(plan, shapes, members)
    _warn_of_whole(report_of(plan, shapes, specs))
    return jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)


def place_state(where: str, plan: ShardingPlan | None, train_state: Any) -> Any:
    """One model's train state, sharded as the plan says; as it is without a plan."""
    if plan is None:
        return train_state
    if not isinstance(plan, ShardingPlan):
        raise RunError(
            f"{where} expects sharding=ShardingPlan(...), but got {plan!r}; write "
            'ShardingPlan({"batch": 8})'
        )
    if (mesh := mesh_for(where, plan)) is None:
        return train_state
    return place(train_state, state_shardings(mesh, plan, train_state))


def mesh_for(where: str, plan: ShardingPlan) -> Mesh | None:
    """The mesh of a plan; refuses more devices than JAX has."""
    try:
        return mesh_of(plan.axes)
    except ValueError as error:
        raise RunError(f"{where}: {error}") from None


def describe(plan: ShardingPlan | None, mesh: Mesh | None) -> dict[str, Any]:
    """A plan in JSON types, for checkpoints and messages."""
    processes = 1 if mesh is None else len({d.process_index for d in mesh.devices.flat})
    plan = plan or ShardingPlan({BATCH: 1})
    rules = [f"{pattern}: {spec}" for pattern, spec in plan.rules]
    return {"axes": dict(plan.axes), "rules": rules, "fsdp": plan.fsdp, "processes": processes}


def out_shardings(mesh: Mesh | None, train_state: Any) -> dict[str, Any]:
    """Options of `jax.jit` for a chunk: the train state's own shardings, and the rest whole."""
    if mesh is None:
        return {}
    whole = NamedSharding(mesh, WHOLE)
    return {"out_shardings": (jax.tree.map(lambda leaf: leaf.sharding, train_state), whole, whole)}


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
      unsharded: the paths of large params that FSDP leaves whole, since no axis divides.
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
            lines.append(f"whole, since no axis divides: {', '.join(self.unsharded)}")
        return "\n".join(lines)


def sharding_report(
    train_step: Any,
    x: Any,
    plan: ShardingPlan,
    *,
    hparams: Hparams = None,
    members: int | None = None,
) -> ShardingReport:
    """What each device would hold of the train state; needs no device of the plan.

    Args:
      train_step: as in `fit`.
      x: example inputs (n, ...), or their `jax.ShapeDtypeStruct`s.
      plan: the sharding plan.
      hparams: as in `fit`: for a population, of one member.
      members: the number of members of a population, or None for one model.

    Raises:
      RunError: a rule matches no parameter, or an axis does not divide.
    """
    step, _ = resolve(train_step, hparams)
    x = jax.tree.map(lambda leaf: shape_of(1, leaf), x)
    shapes = jax.eval_shape(step.init, jax.random.key(0), x)
    specs = state_specs(plan, shapes)
    if members is not None:
        shapes = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((members, *leaf.shape), leaf.dtype), shapes
        )
        specs = jax.tree.map(_of_members(plan), specs)
    return report_of(plan, shapes, specs)


def report_of(plan: ShardingPlan, shapes: Any, specs: Any) -> ShardingReport:
    """The report of a train state with these shapes and specs."""
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
        and math.prod(leaf.shape) >= SMALL
    ]
    return ShardingReport(tuple(held), tuple(unsharded))


def _warn_of_whole(report: ShardingReport) -> None:
    """Warn of large params that FSDP does not shard."""
    if report.unsharded:
        warnings.warn(
            f"fsdp leaves {len(report.unsharded)} of {len(report.leaves)} arrays whole on every "
            f"device, since no axis is free and divides: {', '.join(report.unsharded[:8])}; "
            "sharding_report lists what each device holds",
            stacklevel=2,
        )


def _specs(plan: ShardingPlan, shapes: Any, members: int | None) -> Any:
    if members is None:
        return state_specs(plan, shapes)
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), shapes)
    specs = state_specs(plan, one)
    if members % plan.shards(MEMBERS):  # a member that is trained again, alone
        return jax.tree.map(lambda spec: PartitionSpec(None, *spec), specs)
    return jax.tree.map(_of_members(plan), specs)


def _of_members(plan: ShardingPlan) -> Any:
    """A function from a spec of one model to that of a population."""
    axis = MEMBERS if MEMBERS in plan.axes else None
    return lambda spec: PartitionSpec(axis, *spec)


def _like_params(opt_state: Any, params: Any, specs: Any) -> Any:
    """The specs of an optimizer's state: those of the params whose paths its own end with.

    `optax.tree_map_params` calls the optimizer's `init` without params, which some do not allow.
    A leaf may stack several of its param, as the history of L-BFGS; another shape is whole.
    """
    leaves = zip(jax.tree.leaves_with_path(params), jax.tree.leaves(specs), strict=True)
    named = {path: (leaf.shape, spec) for (path, leaf), spec in leaves}

    def spec_of(path: tuple, leaf: Any) -> PartitionSpec:
        ends = (path[start:] for start in range(len(path) + 1))
        shape, spec = next((named[end] for end in ends if end in named), ((), WHOLE))
        stacked = len(leaf.shape) - len(shape)
        fits = stacked >= 0 and leaf.shape[stacked:] == shape and any(spec)
        return PartitionSpec(*[None] * stacked, *spec) if fits else WHOLE

    return jax.tree.map_with_path(spec_of, opt_state)


def _whole(tree: Any) -> Any:
    return jax.tree.map(lambda _: WHOLE, tree)


def _axes(spec: PartitionSpec) -> str:
    return f"({', '.join(map(str, spec))})" if any(spec) else "whole"
