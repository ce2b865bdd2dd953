"""How the leaves of a train state are sharded, and how much of it each device holds."""

import warnings
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxnets.arrays import shape_of
from jaxnets.checks import as_integers
from jaxnets.errors import RunError
from jaxnets.sharding import BATCH, MEMBERS, ShardingPlan, mesh_of, place
from jaxnets.training.shards import ShardingReport, report_of
from jaxnets.training.train_step import Hparams, TrainState, resolve

REPLICATED = PartitionSpec()


def state_specs(plan: ShardingPlan, shapes: Any) -> Any:
    """The `PartitionSpec` of each leaf of one model's train state.

    The optimizer's state is sharded like the params it belongs to; the model's state is
    replicated. All leaves of a train state that is not a `TrainState` count as params.
    """
    if not isinstance(shapes, TrainState):
        return plan.specs(shapes)
    params = plan.specs(shapes.params)
    opt_state = _like_params(shapes.opt_state, shapes.params, params)
    step, model_state, key = map(_replicated, (shapes.step, shapes.model_state, shapes.key))
    return TrainState(step, params, model_state, opt_state, key)


def state_shardings(mesh: Any, plan: Any, shapes: Any, members: int | None = None) -> Any:
    """The sharding of each leaf of a train state; with `members`, leaves have an axis of them."""
    specs = _specs(plan, shapes, members)
    _warn_of_unsharded(report_of(plan, shapes, specs, members))
    return jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)


def place_state(where: str, plan: ShardingPlan | None, train_state: Any) -> Any:
    """One model's train state, sharded as the plan says; as it is without a plan."""
    if plan is None:
        return train_state
    check_plan(where, plan)
    if (mesh := mesh_for(where, plan)) is None:
        return train_state
    return place(train_state, state_shardings(mesh, plan, train_state))


def check_plan(where: str, plan: Any, members: int = 1) -> None:
    """Refuse anything but a plan, and a number of models not divisible by "members"."""
    if not isinstance(plan, ShardingPlan):
        raise RunError(
            f"{where} expects sharding=ShardingPlan(...), but got {plan!r}; write "
            'ShardingPlan({"batch": 8})'
        )
    if members % (shards := plan.shards(MEMBERS)):
        cure = f"use {members // shards * shards}" if members > shards else 'use the axis "batch"'
        raise RunError(
            f'{where}: the axis "members" expects a population divisible by {shards} devices, but '
            f"got {members} {'model' if members == 1 else 'models'}; {cure}"
        )


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
    """Options of `jax.jit` for a chunk, which keeps the train state's shardings."""
    if mesh is None:
        return {}
    state = jax.tree.map(lambda leaf: leaf.sharding, train_state)
    others = NamedSharding(mesh, REPLICATED)
    return {"out_shardings": (state, others, others)}


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
      RunError: a rule matches no parameter, an axis is not divisible, or `x` has no arrays.
    """
    if members is not None:
        (members,) = as_integers("sharding_report", error=RunError, members=members)
    check_plan("sharding_report", plan, members or 1)
    if not jax.tree.leaves(x) or not all(getattr(leaf, "shape", ()) for leaf in jax.tree.leaves(x)):
        raise RunError(
            "sharding_report expects x as arrays (n, ...) or their jax.ShapeDtypeStructs, but got "
            f"{type(x).__name__}; pass train.x"
        )
    step, _ = resolve(train_step, hparams)
    x = jax.tree.map(lambda leaf: shape_of(1, leaf), x)
    shapes = jax.eval_shape(step.init, jax.random.key(0), x)
    specs = state_specs(plan, shapes)
    if members is not None:
        shapes = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((members, *leaf.shape), leaf.dtype), shapes
        )
        specs = jax.tree.map(_of_members(plan), specs)
    return report_of(plan, shapes, specs, members)


def _warn_of_unsharded(report: ShardingReport) -> None:
    """Warn of large params that FSDP does not shard over "batch"."""
    if report.unsharded:
        warnings.warn(
            f"fsdp does not shard {len(report.unsharded)} of {len(report.leaves)} arrays over "
            f'"batch", since no free axis is divisible by its size: '
            f"{', '.join(report.unsharded[:8])}; sharding_report lists what each device holds",
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
    """The specs of an optimizer's state: a leaf whose path ends with a param's path has its spec.

    `optax.tree_map_params` calls the optimizer's `init` without params, which some do not allow.
    A leaf may stack copies of its param, like L-BFGS's history. Other shapes are replicated.
    """
    leaves = zip(jax.tree.leaves_with_path(params), jax.tree.leaves(specs), strict=True)
    named = {path: (leaf.shape, spec) for (path, leaf), spec in leaves}

    def spec_of(path: tuple, leaf: Any) -> PartitionSpec:
        ends = (path[start:] for start in range(len(path) + 1))
        shape, spec = next((named[end] for end in ends if end in named), ((), REPLICATED))
        stacked = len(leaf.shape) - len(shape)
        fits = stacked >= 0 and leaf.shape[stacked:] == shape and any(spec)
        return PartitionSpec(*[None] * stacked, *spec) if fits else REPLICATED

    return jax.tree.map_with_path(spec_of, opt_state)


def _replicated(tree: Any) -> Any:
    return jax.tree.map(lambda _: REPLICATED, tree)
