"""What can be known to be wrong before anything is compiled."""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxnets.errors import RunError
from jaxnets.sharding import mesh_of
from jaxnets.training.checkpoint import Checkpoints
from jaxnets.training.compiled_loop import CompiledLoop
from jaxnets.training.runners import OneModel
from jaxnets.training.source import Remainder
from jaxnets.training.train_step import Hparams, resolve


def check_run(
    train: tuple[Any, Any],
    validation: tuple[Any, Any] | None,
    epochs: int,
    batch_size: int,
    patience: int | None,
    remainder: Remainder,
) -> None:
    """Refuse sizes and splits that do not fit, each with what was expected and the cure."""
    for name, value in (("batch_size", batch_size), ("patience", patience)):
        whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
        if not whole and not (name == "patience" and value is None):
            raise RunError(f"fit expects {name} to be a positive integer, but got {value!r}")
    if remainder not in ("drop", "pad"):
        raise RunError(f'fit expects remainder "drop" or "pad", but got {remainder!r}')
    if patience is not None and validation is None:
        raise RunError("patience watches the validation loss; pass validation=(x, y) as well")
    for name, split in (("train", train), ("validation", validation)):
        if isinstance(split, tuple) and (len(split[0]) != len(split[1]) or len(split[0]) == 0):
            raise RunError(
                f"fit expects as many labels as inputs in {name}, at least one, but got "
                f"{len(split[0])} inputs and {len(split[1])} labels"
            )
    if isinstance(train, tuple) and batch_size > len(train[0]):
        raise RunError(
            f"fit expects a batch no larger than the data, but got batch_size={batch_size} for "
            f"{len(train[0])} examples; use at most {len(train[0])}"
        )


def check_saving(on_nonfinite: str, checkpoints: Checkpoints | None, resume: bool) -> None:
    """Refuse a folder in which another run is saved, unless this one goes on from there."""
    if on_nonfinite not in ("stop", "skip", "ignore"):
        raise RunError(
            f'fit expects on_nonfinite "stop", "skip" or "ignore", but got {on_nonfinite!r}'
        )
    if resume and checkpoints is None:
        raise RunError("resume=True expects checkpoints to go on from; pass checkpoints as well")
    if checkpoints is not None and not resume and checkpoints.latest() is not None:
        raise RunError(
            f"{checkpoints.folder} holds a run at step {checkpoints.latest()} already; pass "
            "resume=True to go on from there, or use another folder"
        )


def check_devices(devices: int, batch_size: int) -> Mesh | None:
    """The mesh of so many devices, which have equal shares of a batch."""
    try:
        mesh = mesh_of(devices)
    except ValueError as error:
        raise RunError(f"fit: {error}") from None
    if batch_size % devices:
        raise RunError(
            f"fit expects a batch that {devices} devices divide evenly, but got "
            f"batch_size={batch_size}; use {max(batch_size // devices, 1) * devices}"
        )
    return mesh


def check_labels(
    loop: CompiledLoop, train_state: Any, hparams: Hparams, data: Any, validation: Any
) -> None:
    """Refuse class numbers that the model has no output for.

    Labels are class numbers where they are integers with one axis less than the outputs. A train
    step without `predict_batch` is asked nothing.
    """

    def outputs_of(own: Any, x: Any) -> Any:
        train_state, hparams = own
        step, _ = resolve(loop.train_step, hparams)
        return step.predict_batch(train_state, x) if hasattr(step, "predict_batch") else None

    own, x = (train_state, hparams), loop.source.example.x
    outputs = jax.eval_shape(loop.runner.each(outputs_of), own, x)
    if not isinstance(outputs, jax.ShapeDtypeStruct):
        return
    shape = outputs.shape if isinstance(loop.runner, OneModel) else outputs.shape[1:]
    for name, split in (("train", data), ("validation", validation)):
        labels = np.asarray(split[1] if isinstance(split, tuple) else [])
        if labels.ndim != len(shape) - 1 or labels.dtype.kind not in "iu":
            continue
        classes = shape[-1]
        if wrong := np.flatnonzero((labels < 0) | (labels >= classes)).tolist():
            raise RunError(
                f"the {name} labels must be classes 0 to {classes - 1}, since the model has "
                f"{classes} outputs, but row {wrong[0]} has {labels.flat[wrong[0]]} and "
                f"{len(wrong)} of {labels.size} are out of range"
            )
