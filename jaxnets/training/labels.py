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
from jaxnets.training.chunk import no_sums
from jaxnets.training.update import Hyper, OfHyper, TrainState, Update

Judge = Metric | OfHyper | Callable[[Array, Array], Array]  # a metric or a loss


def check_labels(
    where: str,
    update: Update,
    train_state: TrainState,
    hyper: Hyper,
    train: tuple[Array, Array],
    validation: tuple[Any, Any] | None,
    batch_size: int,
) -> None:
    """Refuse labels, and inputs to validate on, that model, loss or metrics cannot take.

    Only shapes and dtypes of the train state matter; the update is traced, and not compiled.
    """
    model, _ = update.build(hyper)
    reported = judges_of(update.metrics)
    # An augmentation may change labels, as mixing does: what the loss sees is then unknown.
    minimised = {} if update.augment else reported | {"the loss": update.loss}
    splits = {"train": train} | ({} if validation is None else {"validation": validation})
    for name, (x, y) in splits.items():
        dtype = jax.dtypes.canonicalize_dtype(x.dtype)
        spec = jax.ShapeDtypeStruct((batch_size, *x.shape[1:]), dtype)
        try:
            outputs = jax.eval_shape(model.apply, *train_state[1:3], spec)[0]
        except (TypeError, ValueError) as error:
            raise RunError(
                f"{where}: the model, initialised for the train inputs {train[0].shape}, cannot "
                f"take the {name} inputs {x.shape}: {_first_line(error)}"
            ) from error
        _check_classes(name, outputs, np.asarray(y))
        judges = minimised if name == "train" else reported
        if name == "validation":
            _check_shapes(where, name, outputs, y, judges, hyper)
        else:
            _check_update(where, update, train_state, train, hyper, outputs, judges)
        check_binary(where, name, outputs, y, judges, hyper)


def _check_update(
    where: str,
    update: Update,
    train_state: TrainState,
    train: tuple[Array, Array],
    hyper: Hyper,
    outputs: jax.ShapeDtypeStruct,
    judges: Mapping[str, Judge],
) -> None:
    """Trace the update, as the run will, and name the loss or metric that refuses the labels."""
    try:
        no_sums(update, train_state, train, hyper, outputs.shape[0])
    except (TypeError, ValueError):
        _check_shapes(where, "train", outputs, train[1], judges, hyper)
        raise


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
