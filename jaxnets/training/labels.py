"""Checks of inputs and labels against the model, the loss and the metrics."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.arrays import Examples, on_device, shape_of
from jaxnets.data.buckets import Bucketed
from jaxnets.errors import RunError
from jaxnets.layer import Array
from jaxnets.metrics import Metric, batch_sums
from jaxnets.training.chunk import step_program
from jaxnets.training.programs import program
from jaxnets.training.train_step import Batch, Hparams, TrainStep, refuse_unused, resolve

Criterion = Metric | Callable[[Any, Any], Array]  # a metric or a loss


def check_data(
    where: str,
    train_step: Any,
    hparams: Hparams,
    train_state: Any,
    data: Any,
    validation: Any,
    batch_size: int,
) -> None:
    """Refuse inputs and labels that do not fit the model, the loss or the metrics.

    The step is traced for one model but not compiled; only the shapes and dtypes of the train state
    matter. Custom train steps and data that are not in memory are not checked.
    """
    step, unused = resolve(train_step, hparams)
    if not isinstance(step, TrainStep):
        return
    refuse_unused(unused)
    eval_criteria = criteria_of(step.metrics)
    # An augmentation may change the labels, as mixup does, so the training labels are not checked.
    train_criteria = {} if step.augment else eval_criteria | {"the loss": step.loss}
    for name, split in (("training", data), ("validation", validation)):
        split = split.examples if isinstance(split, Bucketed) else split
        if not isinstance(split, Examples):
            continue
        x = jax.tree.map(lambda leaf: shape_of(batch_size, leaf), split.x)
        try:
            outputs = output_shapes(train_step, train_state, x, hparams)
        except (TypeError, ValueError) as error:
            raise RunError(
                f"{where}: the model cannot take the {name} inputs {_shapes(split.x)}: "
                f"{_first_line(error)}"
            ) from error
        if not all(hasattr(tree, "shape") for tree in (outputs, split.y)):
            continue
        _check_classes(name, outputs, np.asarray(split.y))
        criteria = train_criteria if name == "training" else eval_criteria
        y = shape_of(batch_size, split.y)
        batch = Batch(x, y, jax.ShapeDtypeStruct((batch_size,), np.float32))
        try:  # each is traced once for all runs of these shapes
            if name == "training":
                step_program(train_step).eval_shape(train_state, batch, hparams)
            else:
                program(train_step, _make_metric_sums).eval_shape(outputs, batch, hparams)
        except (TypeError, ValueError):
            _check_shapes(where, name, outputs, split.y, criteria)
            raise
        check_binary(where, name, outputs, split.y, criteria)


def _make_metric_sums(step: Callable[[], Any]) -> Callable[..., Any]:
    def sums(outputs: Any, batch: Batch, hparams: Hparams) -> Any:
        train_step, _ = resolve(step(), hparams)
        return batch_sums(train_step.named_metrics, outputs, batch.y, batch.weights)

    return sums


def output_shapes(train_step: Any, train_state: Any, x: Any, hparams: Hparams) -> Any:
    """The shapes of the outputs with `train=False`, of arrays or shapes; traced once for each."""
    return program(train_step, _make_outputs).eval_shape(train_state, x, hparams)


def _make_outputs(step: Callable[[], Any]) -> Callable[..., Any]:
    def outputs(train_state: Any, x: Any, hparams: Hparams) -> Any:
        train_step, _ = resolve(step(), hparams)
        return train_step.predict_batch(train_state, x)

    return outputs


def criteria_of(metrics: Mapping[str, Metric]) -> dict[str, Criterion]:
    """The metrics by their names in error messages."""
    return {
        "the loss" if name == "loss" else f"the metric {name!r}": metric
        for name, metric in metrics.items()
    }


def check_binary(
    where: str,
    name: str,
    outputs: jax.ShapeDtypeStruct,
    labels: Any,
    criteria: Mapping[str, Criterion],
) -> None:
    """Refuse labels outside [-1, 1] if a loss or a metric refuses such values."""
    labels = np.asarray(labels)
    single_output = outputs.shape[1:] in ((), (1,)) and labels.size == len(labels)
    if not single_output and labels.shape[1:] != outputs.shape[1:]:
        return
    if not any_beyond_one(labels):
        return
    outside = ((labels > 1) | (labels < -1)).reshape(len(labels), -1).any(1)
    row, shape = int(outside.argmax()), (outputs.shape[0], *labels.shape[1:])
    for criterion_name, criterion in criteria.items():
        if _accepts(criterion, outputs, shape, labels.dtype, 1) and not _accepts(
            criterion, outputs, shape, labels.dtype, 2
        ):
            raise RunError(
                f"{where}: {criterion_name} expects binary {name} labels from -1 to 1, but row "
                f"{row} has {labels[row].max() if labels[row].max() > 1 else labels[row].min()} "
                f"and {outside.sum()} of {len(labels)} are out of range; number the two classes 0 "
                "and 1, or give the model one output per class"
            )


def _accepts(
    criterion: Criterion,
    outputs: jax.ShapeDtypeStruct,
    shape: tuple[int, ...],
    dtype: Any,
    value: int,
) -> bool:
    """Whether a loss or metric accepts concrete labels of this value."""
    labels = on_device(np.full(shape, value, dtype))
    try:
        jax.eval_shape(lambda outputs: _apply(criterion, outputs, labels), outputs)
    except ValueError:
        return False
    return True


def any_beyond_one(labels: np.ndarray) -> bool:
    """Whether any label is outside [-1, 1]."""
    if np.iscomplexobj(labels) or (labels.min() >= -1 and labels.max() <= 1):
        return False
    return bool(((labels > 1) | (labels < -1)).any())  # NaN is not


def _check_classes(name: str, outputs: jax.ShapeDtypeStruct, labels: np.ndarray) -> None:
    """Refuse class numbers for which the model has no output.

    Labels are class numbers if they are integers with one axis less than the outputs, and the model
    has several outputs.
    """
    classes = outputs.shape[-1] if outputs.shape else 1
    if labels.ndim != len(outputs.shape) - 1 or labels.dtype.kind not in "iu" or classes == 1:
        return
    if outside := np.flatnonzero((labels < 0) | (labels >= classes)).tolist():
        raise RunError(
            f"the {name} labels must be classes 0 to {classes - 1}, since the model has "
            f"{classes} outputs, but row {outside[0]} has {labels.flat[outside[0]]} and "
            f"{len(outside)} of {labels.size} are out of range; number the classes from 0, or give "
            "the model more outputs"
        )


def _check_shapes(
    where: str,
    name: str,
    outputs: jax.ShapeDtypeStruct,
    labels: Any,
    criteria: Mapping[str, Criterion],
) -> None:
    """Refuse labels whose shape or dtype a loss or a metric refuses."""
    batch_labels = shape_of(outputs.shape[0], labels)
    lacks_axis = outputs.shape[1:] == (1,) and labels.ndim == 1
    for criterion_name, criterion in criteria.items():
        try:
            jax.eval_shape(partial(_apply, criterion), outputs, batch_labels)
        except (TypeError, ValueError) as error:
            raise RunError(
                f"{where}: {criterion_name} cannot take outputs {outputs.shape} with the {name} "
                f"labels {batch_labels.shape}: {_first_line(error)}"
                + ("; pass y[:, None]" if lacks_axis else "")
            ) from error


def _apply(criterion: Criterion, outputs: Any, labels: Any) -> Any:
    if isinstance(criterion, Metric):
        return criterion.sums(outputs, labels, jnp.ones(len(labels)))
    return criterion(outputs, labels)


@contextmanager
def explain_input_errors(where: str, forward: Callable[[Any], Any], x: Any) -> Iterator[None]:
    """If `forward` raises for an input, report the shape of the input, and a shape that works.

    The original error would name the shape of a padded block.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        if isinstance(x, tuple):
            raise RunError(
                f"{where}: the model refuses a tuple of {len(x)} arrays ({_first_line(error)}); "
                "pass a single array"
            ) from None
        if not hasattr(x, "shape"):
            raise
        block_error = _error_of(forward, (len(x) + 1, *x.shape[1:]), x.dtype)
        if block_error is None:
            raise
        batched, with_channel = (1, *x.shape), (*x.shape, 1)
        shapes = {
            "x[None]": batched,
            "x[..., None]": with_channel,
            "x[None, ..., None]": (*batched, 1),
        }
        for cure, shape in shapes.items():
            if _error_of(forward, shape, x.dtype) is None:
                raise RunError(
                    f"{where} expects a batch of examples, but the model refuses inputs "
                    f"{x.shape}; pass {cure}, which it accepts"
                ) from None
        raise _error_of(forward, x.shape, x.dtype) or block_error from None


def _error_of(forward: Callable[[Any], Any], shape: tuple, dtype: Any) -> Exception | None:
    """The error that `forward` raises for an input of this shape, or None."""
    try:
        jax.eval_shape(forward, jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(dtype)))
    except (TypeError, ValueError) as error:
        error.__dict__.pop("__notes__", None)  # JAX's note on filtered tracebacks
        return error
    return None


def _shapes(tree: Any) -> Any:
    return tree.shape if hasattr(tree, "shape") else jax.tree.map(lambda leaf: leaf.shape, tree)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
