"""Checks of the arguments of a run, before anything is compiled."""

import weakref
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxnets.errors import RunError
from jaxnets.layer import Layer
from jaxnets.sharding import BATCH, ShardingPlan
from jaxnets.training.arguments import count
from jaxnets.training.checkpoint import Checkpoints
from jaxnets.training.placement import check_plan, mesh_for
from jaxnets.training.runners import OneModel, Runner
from jaxnets.training.source import Remainder
from jaxnets.training.splits import check_batch


class Sizes(NamedTuple):
    """The sizes of a run, as Python integers."""

    epochs: int | None
    steps: int | None
    batch_size: int
    patience: int | None

    def total(self, steps_per_epoch: int) -> int:
        """The number of steps of the whole run."""
        return self.steps if self.epochs is None else self.epochs * steps_per_epoch  # type: ignore


def check_train_step(where: str, train_step: Any) -> None:
    """Refuse anything that is neither a train step nor a function that returns one."""
    cure = "make one: make_train_step(model, optax.adam(1e-3), losses.softmax_cross_entropy)"
    if isinstance(train_step, Layer) or not callable(train_step):
        got = type(train_step).__name__
        raise RunError(f"{where} expects a train step, but got a {got}; {cure}")
    try:
        weakref.ref(train_step)
        hash(train_step)
    except TypeError:
        raise RunError(
            f"{where} expects a train step that can be hashed and weakly referenced, since its "
            f"programs are cached with it, but got a {type(train_step).__name__}; make it a "
            "frozen dataclass or a plain class"
        ) from None


def check_train_state(where: str, train_state: Any) -> None:
    """Refuse a result of `fit` in place of its train state."""
    if hasattr(train_state, "train_state") or hasattr(train_state, "train_states"):
        name = "train_state" if hasattr(train_state, "train_state") else "train_states"
        raise RunError(
            f"{where} expects a train state, but got a {type(train_state).__name__}; pass its "
            f"{name}"
        )


def check_start(where: str, start: Any, shapes: Any) -> None:
    """Refuse a train state to start from that differs in structure from that of `init`."""
    if start is None:
        return
    expected, got = (
        {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(tree)}
        for tree in (shapes, start)
    )
    differences = [f"no {name}" for name in expected.keys() - got.keys()]
    differences += [f"an unknown leaf {name}" for name in got.keys() - expected.keys()]
    for name in expected.keys() & got.keys():
        spec, leaf = expected[name], got[name]
        if getattr(leaf, "shape", None) != spec.shape:
            differences.append(f"{name} of {getattr(leaf, 'shape', leaf)}, not {spec.shape}")
        elif leaf.dtype != spec.dtype:
            differences.append(f"{name} of {leaf.dtype}, not {spec.dtype}")
    if differences or jax.tree.structure(start) != jax.tree.structure(shapes):
        reason = ", ".join(sorted(differences)[:5]) or "another structure"
        raise RunError(
            f"{where} expects to start from a train state like that of train_step.init, but got a "
            f"{type(start).__name__} with {reason}; pass what init returned, or the train_state of "
            "another run"
        )


def check_patience(validation: Any, patience: Any, axes: int) -> None:
    """Refuse `patience` if the validation loss is missing or not one number per member."""
    if patience is None:
        return
    loss = (validation or {}).get("loss")
    if loss is None or np.ndim(loss) != axes:
        got, cure = "none", "return it from the train step's `values`"
        if loss is not None:
            got, cure = f"an array of shape {np.shape(loss)}", "give that metric another name"
        raise RunError(
            f'patience expects the metric "loss" to be one number, but got {got}; {cure}'
        )


def check_run(
    where: str,
    data: Any,
    validation: Any,
    epochs: Any,
    steps: Any,
    patience: Any,
    *,
    batch_size: Any,
    remainder: Remainder,
    evaluate_every: Any,
) -> Sizes:
    """The sizes of a run; refuses those that are not positive integers or do not fit the data."""
    if (epochs is None) == (steps is None):
        raise RunError(f"{where} expects epochs or steps, but got {epochs=} and {steps=}; pass one")
    sizes = Sizes(
        None if epochs is None else count(where, "epochs", epochs),
        None if steps is None else count(where, "steps", steps),
        count(where, "batch_size", batch_size),
        None if patience is None else count(where, "patience", patience),
    )
    if patience is not None and validation is None:
        raise RunError(
            f"{where} expects a validation split with {patience=}, which monitors the validation "
            "loss, but got None; pass validation=(x, y) as well"
        )
    check_loop(where, data, sizes.batch_size, remainder, evaluate_every)
    return sizes


def check_loop(where: str, data: Any, batch_size: Any, remainder: Any, evaluate_every: Any) -> None:
    """Refuse an invalid batch size, remainder or evaluation interval."""
    check_batch(where, data, count(where, "batch_size", batch_size))
    if remainder not in ("drop", "pad"):
        raise RunError(f'{where} expects remainder "drop" or "pad", but got {remainder!r}')
    pair = isinstance(evaluate_every, tuple | list) and len(evaluate_every) == 2
    if not pair or evaluate_every[1] not in ("steps", "epochs"):
        raise RunError(
            f"{where} expects evaluate_every as a count and its unit, but got {evaluate_every!r}; "
            'write (1, "epochs") or (500, "steps")'
        )
    count(where, "evaluate_every", evaluate_every[0])


def check_on_nonfinite(where: str, on_nonfinite: Any) -> None:
    """Refuse an unknown `on_nonfinite`."""
    if on_nonfinite not in ("stop", "skip", "ignore"):
        raise RunError(
            f'{where} expects on_nonfinite "stop", "skip" or "ignore", but got {on_nonfinite!r}; '
            'the default is "stop"'
        )


def check_saving(where: str, on_nonfinite: str, checkpoints: Any, resume: bool) -> None:
    """Refuse a folder that already holds a run, unless `resume` is true."""
    check_on_nonfinite(where, on_nonfinite)
    if resume and checkpoints is None:
        raise RunError(
            f"{where} expects checkpoints to resume from with resume=True, but got None; pass "
            "checkpoints as well"
        )
    if checkpoints is None:
        return
    if not isinstance(checkpoints, Checkpoints):
        raise RunError(
            f"{where} expects checkpoints=Checkpoints(folder), but got {checkpoints!r}; "
            f"wrap the folder in Checkpoints"
        )
    if not resume and checkpoints.latest() is not None:
        raise RunError(
            f"{checkpoints.folder} already holds a run at step {checkpoints.latest()}; pass "
            "resume=True to resume it, or use another folder"
        )


def check_reporting(
    where: str, report: Any, callbacks: Any, chunk_seconds: Any, stall_seconds: Any
) -> None:
    """Refuse reporters and callbacks that are not functions, and invalid times."""
    listed = isinstance(callbacks, list | tuple)
    if not callable(report) or not listed or not all(map(callable, callbacks)):
        got = type(callbacks if callable(report) else report).__name__
        raise RunError(
            f"{where} expects report as a function and callbacks as a list of functions, but got a "
            f"{got}; write report=print, callbacks=[monitors.loss_spikes()]"
        )
    number = isinstance(chunk_seconds, int | float | np.number)
    if not number or not 0 <= chunk_seconds < np.inf:
        raise RunError(
            f"{where} expects chunk_seconds to be a finite number of at least 0, but got "
            f"{chunk_seconds!r}; 1.0 is usual"
        )
    number = isinstance(stall_seconds, int | float | np.number) and stall_seconds is not True
    if stall_seconds is not None and not (number and 0 < stall_seconds < np.inf):
        raise RunError(
            f"{where} expects stall_seconds to be a positive number, but got {stall_seconds!r}; "
            "600 is usual, None sets no limit"
        )


def check_strategy(where: str, strategy: Any) -> None:
    """Refuse an unknown strategy of a population."""
    if strategy not in ("vmap", "map", None):
        raise RunError(
            f'{where} expects strategy "vmap", "map" or None, but got {strategy!r}; None measures '
            "which is faster"
        )


def check_sharding(
    devices: Any, plan: Any, batch_size: int, runner: Runner
) -> tuple[Mesh | None, ShardingPlan | None]:
    """The mesh and the plan of a run; refuses sizes not divisible by the devices."""
    devices = count("fit", "devices", devices)
    if plan is None:
        plan = ShardingPlan({BATCH: devices})
    elif not isinstance(plan, ShardingPlan) or devices != 1:
        got = f"both devices={devices} and sharding" if devices != 1 else repr(plan)
        raise RunError(
            f"fit expects devices or sharding=ShardingPlan(...), but got {got}; pass one"
        )
    mesh = mesh_for("fit", plan)
    if batch_size % (shards := plan.axes.get(BATCH, 1)):
        raise RunError(
            f"fit expects a batch size divisible by {shards} devices, but got "
            f"batch_size={batch_size}; use {max(batch_size // shards, 1) * shards}"
        )
    check_plan("fit", plan, 1 if isinstance(runner, OneModel) else runner.members)
    return mesh, plan
