"""Checks and converts the inputs of a loaded model."""

from typing import Any

import jax
import numpy as np

from jaxnets.arrays import as_rows, as_tree
from jaxnets.errors import ModelFileError
from jaxnets.messages import printable
from jaxnets.padded import Padded
from jaxnets.saved_model.content import Input


def as_inputs(path: str, inputs: tuple[Input, ...], x: Any) -> Any:
    """The inputs, in the dtypes of the model.

    Raises:
      ModelFileError: another structure, shape or kind of numbers than those of the example with
        which the model was saved.
    """
    if len(inputs) == 1 and not inputs[0].path:
        array = np.asarray(as_rows(path, "its input", x, ModelFileError, wide=True))
        return _as_input(path, inputs[0], array)
    x = as_tree(path, "its input", x, ModelFileError)
    leaves, structure = jax.tree_util.tree_flatten_with_path(x)
    names = [jax.tree_util.keystr(where, simple=True, separator="/") for where, _ in leaves]
    if names != (expected := [part.path for part in inputs]):
        got = names if isinstance(x, dict | list | tuple | Padded) else f"one {type(x).__name__}"
        cure = f"a batch {_padded(inputs)}" if _is_padded(inputs) else "a dict or tuple"
        raise ModelFileError(
            f"{path} expects an input with the parts {printable(expected)}, but got {got}; pass "
            f"{cure} as in training"
        )
    if isinstance(x, Padded) and x.values.shape[1:] != inputs[0].shape:
        raise ModelFileError(
            f"{path} expects padded sequences of shape {inputs[0].shape}, but got "
            f"{x.values.shape[1:]}; pass {_padded(inputs)}"
        )
    arrays = [np.asarray(leaf) for _, leaf in leaves]
    if len({len(array) for array in arrays}) != 1:
        raise ModelFileError(
            f"{path} expects the same number of rows in every part of the input, but got "
            f"{[len(array) for array in arrays]}; pass one row per example"
        )
    if isinstance(x, Padded):
        _check_lengths(path, inputs, *arrays)
    parts = map(_as_input, [path] * len(arrays), inputs, arrays)
    return jax.tree.unflatten(structure, list(parts))


def _check_lengths(
    path: str, inputs: tuple[Input, ...], values: np.ndarray, lengths: np.ndarray
) -> None:
    steps = values.shape[1]
    if lengths.min(initial=0) < 0 or lengths.max(initial=0) > steps:
        raise ModelFileError(
            f"{path} expects lengths from 0 to {steps}, but got {lengths.min()} to "
            f"{lengths.max()}; pass {_padded(inputs)}"
        )


def _is_padded(inputs: tuple[Input, ...]) -> bool:
    return [part.path for part in inputs] == ["values", "lengths"]


def _padded(inputs: tuple[Input, ...]) -> str:
    return f"Padded.of(sequences, time={inputs[0].shape[0]})"


def _as_input(path: str, expected: Input, array: np.ndarray) -> np.ndarray:
    wanted, cure = np.dtype(expected.dtype), _cure(expected, array)
    if array.shape[1:] != expected.shape or not len(array) or cure:
        raise ModelFileError(
            f"{path} expects an input of {expected}, but got {array.dtype} {array.shape}; "
            f"{cure or 'pass one row per example, at least one; x[None] for one row'}"
        )
    if array.dtype != wanted and wanted.kind in "iu":
        low, high = np.iinfo(wanted).min, np.iinfo(wanted).max
        if array.min() < low or array.max() > high:
            raise ModelFileError(
                f"{path} expects an input of {expected}, but got {array.min()} to {array.max()}; "
                "pass numbers as in training"
            )
    return array.astype(wanted)


def _cure(expected: Input, array: np.ndarray) -> str:
    """What to do about a dtype that suggests another scaling than in training; "" if it is fine."""
    wanted = np.dtype(expected.dtype)
    kinds = (
        {"u": "i"}.get(wanted.kind, wanted.kind),
        {"u": "i"}.get(array.dtype.kind, array.dtype.kind),
    )
    counts = kinds == ("f", "i") and array.dtype not in (np.uint8, np.int8)
    if kinds[0] == kinds[1] or counts or wanted.name == "bfloat16":
        return ""
    if kinds == ("f", "i"):
        return "scale them as in training, or save the model with preprocess=Pixels(...)"
    return f"pass {wanted} as in training, without scaling"
