"""Labels that the outputs of the model, the loss or a metric cannot take."""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.layer import Array
from jaxnets.metrics import Metric
from jaxnets.training.arguments import RunError
from jaxnets.training.update import Hyper, OfHyper, TrainState, Update

Judge = Metric | OfHyper | Callable[[Array, Array], Array]  # a metric or a loss


def check_labels(
    where: str,
    update: Update,
    train_state: TrainState,
    hyper: Hyper,
    train: tuple[Any, Any],
    validation: tuple[Any, Any] | None,
    batch_size: int,
) -> None:
    """Refuse labels, and inputs to validate on, that model, loss or metrics cannot take."""
    model, _ = update.build(hyper)
    judges = judges_of(update.metrics)
    splits = {"train": (train, judges | {"the loss": update.loss}, batch_size)}
    if update.augment is not None:  # it may change labels, as mixing does
        splits = {"train": (train, {}, batch_size)}
    if validation is not None:
        splits["validation"] = (validation, judges, batch_size)
    for name, ((x, y), each, rows) in splits.items():
        dtype = jax.dtypes.canonicalize_dtype(x.dtype)
        spec = jax.ShapeDtypeStruct((rows, *x.shape[1:]), dtype)
        try:
            outputs = jax.eval_shape(model.apply, *train_state[1:3], spec)[0]
        except (TypeError, ValueError) as error:
            raise RunError(
                f"{where}: the model, initialised for the train inputs {train[0].shape}, cannot "
                f"take the {name} inputs {x.shape}: {_first_line(error)}"
            ) from error
        _check_classes(name, outputs, np.asarray(y))
        _check_shapes(where, name, outputs, y, each, hyper)
        check_binary(where, name, outputs, y, each, hyper)


def judges_of(metrics: Mapping[str, Metric]) -> dict[str, Judge]:
    """The metrics by what an error calls them."""
    return {
        "the loss" if name == "loss" else f"the metric {name!r}": metric
        for name, metric in metrics.items()
    }


def check_binary(
    where: str,
    name: str,
    outputs: jax.ShapeDtypeStruct,
    labels: Any,
    judges: Mapping[str, Judge],
    hyper: Hyper = None,
) -> None:
    """Refuse labels outside [-1, 1] where a loss or a metric that sees their values does."""
    labels = np.asarray(labels)
    single = outputs.shape[1:] in ((), (1,)) and labels.size == len(labels)
    if not single and labels.shape[1:] != outputs.shape[1:]:
        return
    if not beyond_one(labels):
        return
    outside = ((labels > 1) | (labels < -1)).reshape(len(labels), -1).any(1)
    row, shape = int(outside.argmax()), (outputs.shape[0], *labels.shape[1:])
    for judge, part in judges.items():
        part = part.make(hyper) if isinstance(part, OfHyper) else part
        if _takes(part, outputs, shape, labels.dtype, 1) and not _takes(
            part, outputs, shape, labels.dtype, 2
        ):
            raise RunError(
                f"{where}: {judge} expects binary {name} labels from -1 to 1, but row {row} has "
                f"{labels[row].max() if labels[row].max() > 1 else labels[row].min()} and "
                f"{outside.sum()} of {len(labels)} are out of range; number the two classes 0 and "
                "1, or give the model one output per class"
            )


@lru_cache(maxsize=64)
def _takes(
    judge: Judge, outputs: jax.ShapeDtypeStruct, shape: tuple[int, ...], dtype: Any, value: int
) -> bool:
    """Whether a loss or metric, which is shown their value, takes labels of this value."""
    labels = jnp.asarray(np.full(shape, value, dtype))
    try:
        jax.eval_shape(lambda outputs: _judged(judge, None, outputs, labels), outputs)
    except ValueError:
        return False
    return True


def beyond_one(labels: np.ndarray) -> bool:
    """Whether some label is outside [-1, 1]."""
    if np.iscomplexobj(labels) or (labels.min() >= -1 and labels.max() <= 1):
        return False
    return bool(((labels > 1) | (labels < -1)).any())  # NaN is neither


def _check_classes(name: str, outputs: jax.ShapeDtypeStruct, labels: np.ndarray) -> None:
    """Refuse class numbers that the model has no output for.

    Labels are class numbers where they are integers with one axis less than the outputs, which
    are several.
    """
    classes = outputs.shape[-1] if outputs.shape else 1
    if labels.ndim != len(outputs.shape) - 1 or labels.dtype.kind not in "iu" or classes == 1:
        return
    if wrong := np.flatnonzero((labels < 0) | (labels >= classes)).tolist():
        raise RunError(
            f"the {name} labels must be classes 0 to {classes - 1}, since the model has "
            f"{classes} outputs, but row {wrong[0]} has {labels.flat[wrong[0]]} and "
            f"{len(wrong)} of {labels.size} are out of range"
        )


def _check_shapes(
    where: str,
    name: str,
    outputs: jax.ShapeDtypeStruct,
    labels: Any,
    judges: Mapping[str, Judge],
    hyper: Hyper = None,
) -> None:
    """Refuse labels whose shape or dtype a loss or a metric refuses."""
    dtype = jax.dtypes.canonicalize_dtype(labels.dtype)
    example = jax.ShapeDtypeStruct((outputs.shape[0], *labels.shape[1:]), dtype)
    column = outputs.shape[1:] == (1,) and labels.ndim == 1
    for judge, part in judges.items():
        try:
            _traced.eval_shape(part, hyper, outputs, example)
        except (TypeError, ValueError) as error:
            raise RunError(
                f"{where}: {judge} cannot take outputs {outputs.shape} with the {name} labels "
                f"{example.shape}: {_first_line(error)}" + ("; pass y[:, None]" if column else "")
            ) from error


def _judged(judge: Judge, hyper: Hyper, outputs: Array, labels: Array) -> Any:
    if isinstance(judge, Metric):
        return judge.sums(outputs, labels, jnp.ones(len(labels)))
    loss = judge.make(hyper) if isinstance(judge, OfHyper) else judge
    return loss(outputs, labels)


_traced = jax.jit(_judged, static_argnums=0)  # so that it is traced once for each loss and metric


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
