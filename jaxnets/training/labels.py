"""Inputs and labels that the model, the loss or a metric cannot take."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.arrays import Examples, shape_of
from jaxnets.errors import RunError
from jaxnets.layer import Array
from jaxnets.metrics import Metric
from jaxnets.training.chunk import step_program
from jaxnets.training.train_step import Batch, Hparams, TrainStep, refuse_unused, resolve

Judge = Metric | Callable[[Any, Any], Array]  # a metric or a loss


def check_data(
    where: str,
    train_step: Any,
    hparams: Hparams,
    train_state: Any,
    data: Any,
    validation: Any,
    batch_size: int,
) -> None:
    """Refuse inputs and labels that model, loss or metrics cannot take.

    The step is traced for one model, and not compiled; only shapes and dtypes of the train state
    matter. A train step of one's own, and data that are not in memory, are not looked at.
    """
    step, unused = resolve(train_step, hparams)
    if not isinstance(step, TrainStep):
        return
    refuse_unused(unused)
    reported = judges_of(step.metrics)
    # An augmentation may change labels, as mixing does: what the loss sees is then unknown.
    minimized = {} if step.augment else reported | {"the loss": step.loss}
    for name, split in (("training", data), ("validation", validation)):
        if not isinstance(split, Examples):
            continue
        x = jax.tree.map(lambda leaf: shape_of(batch_size, leaf), split.x)
        try:
            outputs = jax.eval_shape(step.predict_batch, train_state, x)
        except (TypeError, ValueError) as error:
            raise RunError(
                f"{where}: the model cannot take the {name} inputs {_shapes(split.x)}: "
                f"{_first_line(error)}"
            ) from error
        if not all(hasattr(tree, "shape") for tree in (outputs, split.y)):
            continue
        _check_classes(name, outputs, np.asarray(split.y))
        if name == "validation":
            _check_shapes(where, name, outputs, split.y, reported)
        else:
            _check_step(where, train_step, hparams, train_state, split, outputs, minimized)
        judges = minimized if name == "training" else reported
        check_binary(where, name, outputs, split.y, judges)


def _check_step(
    where: str,
    train_step: Any,
    hparams: Hparams,
    train_state: Any,
    data: Examples,
    outputs: jax.ShapeDtypeStruct,
    judges: Mapping[str, Judge],
) -> None:
    """Trace the step, as the run will, and name the loss or metric that refuses the labels."""
    rows = outputs.shape[0]
    x, y = jax.tree.map(lambda leaf: shape_of(rows, leaf), data[:2])
    batch = Batch(x, y, jax.ShapeDtypeStruct((rows,), np.float32))
    try:
        jax.eval_shape(step_program(train_step), train_state, batch, hparams)
    except (TypeError, ValueError):
        _check_shapes(where, "training", outputs, data.y, judges)
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
        if _takes(part, outputs, shape, labels.dtype, 1) and not _takes(
            part, outputs, shape, labels.dtype, 2
        ):
            raise RunError(
                f"{where}: {judge} expects binary {name} labels from -1 to 1, but row {row} has "
                f"{labels[row].max() if labels[row].max() > 1 else labels[row].min()} and "
                f"{outside.sum()} of {len(labels)} are out of range; number the two classes 0 and "
                "1, or give the model one output per class"
            )


def _takes(
    judge: Judge, outputs: jax.ShapeDtypeStruct, shape: tuple[int, ...], dtype: Any, value: int
) -> bool:
    """Whether a loss or metric, which is shown their value, takes labels of this value."""
    labels = jnp.asarray(np.full(shape, value, dtype))
    try:
        jax.eval_shape(lambda outputs: _judged(judge, outputs, labels), outputs)
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
) -> None:
    """Refuse labels whose shape or dtype a loss or a metric refuses."""
    example = shape_of(outputs.shape[0], labels)
    column = outputs.shape[1:] == (1,) and labels.ndim == 1
    for judge, part in judges.items():
        try:
            jax.eval_shape(partial(_judged, part), outputs, example)
        except (TypeError, ValueError) as error:
            raise RunError(
                f"{where}: {judge} cannot take outputs {outputs.shape} with the {name} labels "
                f"{example.shape}: {_first_line(error)}" + ("; pass y[:, None]" if column else "")
            ) from error


def _judged(judge: Judge, outputs: Any, labels: Any) -> Any:
    if isinstance(judge, Metric):
        return judge.sums(outputs, labels, jnp.ones(len(labels)))
    return judge(outputs, labels)


@contextmanager
def explained(where: str, forward: Callable[[Any], Any], x: Any) -> Iterator[None]:
    """In this context, an input that `forward` refuses is reported in its own shape, with a cure.

    Without it the message would name the shape of a padded block.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        if isinstance(x, tuple):
            raise RunError(
                f"{where}: the model refuses a tuple of {len(x)} arrays ({_first_line(error)}); "
                "pass one array alone"
            ) from None
        if not hasattr(x, "shape"):
            raise
        block = _refusal(forward, (len(x) + 1, *x.shape[1:]), x.dtype)
        if block is None:
            raise
        one, single = (1, *x.shape), (*x.shape, 1)
        shapes = {"x[None]": one, "x[..., None]": single, "x[None, ..., None]": (*one, 1)}
        for cure, shape in shapes.items():
            if _refusal(forward, shape, x.dtype) is None:
                raise RunError(
                    f"{where} expects a batch of examples, but the model refuses inputs "
                    f"{x.shape}; pass {cure}, which it accepts"
                ) from None
        raise _refusal(forward, x.shape, x.dtype) or block from None


def _refusal(forward: Callable[[Any], Any], shape: tuple, dtype: Any) -> Exception | None:
    """What `forward` raises for an input of this shape."""
    try:
        jax.eval_shape(forward, jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(dtype)))
    except (TypeError, ValueError) as error:
        error.__dict__.pop("__notes__", None)  # JAX's, on how it filters tracebacks
        return error
    return None


def _shapes(tree: Any) -> Any:
    return tree.shape if hasattr(tree, "shape") else jax.tree.map(lambda leaf: leaf.shape, tree)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
