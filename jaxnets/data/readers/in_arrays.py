"""Arrays in memory, or mapped from a file, as a data set."""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxnets.arrays import as_rows, nonfinite_rows
from jaxnets.data.dataset import Dataset, Split, read_only
from jaxnets.data.scaling import Scaling, fit_standard
from jaxnets.data.splits import held_out_rows
from jaxnets.data.stream import Stream
from jaxnets.errors import DataError
from jaxnets.messages import printable

BLOCK = 2**24  # bytes of a mapped array that are hashed at once


def from_arrays(
    x: Any,
    y: Any,
    *,
    classes: Sequence[str] | None = None,
    scale: bool = False,
    test: Any = 0.2,
    seed: int = 0,
) -> Dataset:
    """A data set of inputs and labels that are arrays.

    Args:
      x: inputs (n, ...), in their own dtype. A `numpy.memmap` is not read into memory: both splits
        are then `Stream`s.
      y: labels (n,) that are integers, booleans or strings are classes; floats (n, ...) are the
        targets of a regression.
      classes: the names of classes 0, 1, ...; by default the sorted labels, as strings.
      scale: whether to scale each column to mean 0 and variance 1 over the training rows;
        `dataset.preprocess` is then this `Scaling`. Leave uint8 images to `scale_pixels`.
      test: the share of each class to hold out as `dataset.test`; or a pair (x, y).
      seed: determines which rows are held out.

    Raises:
      DataError: the arrays do not fit each other, hold NaN or infinity, or cannot be split.
    """
    where, is_pair = "from_arrays", isinstance(test, tuple | list)
    pairs = [(x, y), tuple(test)] if is_pair else [(x, y)]
    if any(len(pair) != 2 for pair in pairs):
        raise DataError(f"{where} expects test=(x, y), but got a tuple of {len(test)}; pass a pair")
    inputs, targets = zip(*(_rows(where, *pair) for pair in pairs), strict=True)
    if is_pair and inputs[0].shape[1:] != inputs[1].shape[1:]:
        raise DataError(
            f"{where} expects test inputs {inputs[0].shape[1:]} as in training, but got "
            f"{inputs[1].shape[1:]}; prepare both in the same way"
        )
    labels, names = number_classes(where, np.concatenate(targets), classes)
    if is_pair:
        cut = len(targets[0])
        splits = [(inputs[0], labels[:cut]), (inputs[1], labels[cut:])]
        splits = [_split(*split, np.arange(len(split[1]))) for split in splits]
    else:
        held_out = held_out_rows(where, labels, test, seed, name="test", classes=names)
        splits = [_split(inputs[0], labels, np.flatnonzero(p)) for p in (~held_out, held_out)]
    scaling = _fit(where, splits[0]) if scale else None
    if scaling is not None:
        splits = [s._replace(x=read_only(scaling.apply(s.x))) for s in splits]
    return Dataset(
        *splits,
        name="arrays",
        source=f"arrays of {len(labels)} rows",
        checksums={
            f"{part}.{name} as an array": _sha256(array)
            for part, *arrays in zip(("train", "test"), inputs, targets, strict=False)
            for name, array in zip("xy", arrays, strict=True)
        },
        classes=names,
        preprocess=scaling,
    )


def number_classes(
    where: str, y: np.ndarray, classes: Sequence[str] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels as int32 indices into the names of the classes; floats stay, without classes.

    Raises:
      DataError: there is only one class, or a label has no name in `classes`.
    """
    if y.dtype.kind == "f":
        if classes is not None:
            raise DataError(
                f"{where} expects integers or strings as labels of classes, but got {y.dtype}; "
                "cast them with y.astype(int), or leave classes out for a regression"
            )
        return y, ()
    if y.ndim != 1 or y.dtype.kind not in "iubUO":
        raise DataError(
            f"{where} expects labels (n,) of integers or strings, or floats, but got "
            f"{y.dtype}{list(y.shape)}; pass y.argmax(-1) for one-hot labels"
        )
    distinct, numbers = np.unique(y, return_inverse=True)
    if len(distinct) < 2:
        raise DataError(
            f"{where} expects at least two classes, but all labels are {printable(distinct[0])}; "
            "add examples of another class"
        )
    if classes is None:
        is_bool = y.dtype.kind == "b"
        names = tuple(str(name).lower() if is_bool else str(name) for name in distinct)
    elif y.dtype.kind in "UO":
        names = tuple(classes)
        if unknown := [str(name) for name in distinct if name not in names]:
            raise DataError(
                f"{where} expects labels from {printable(names)}, but got {printable(unknown)}; "
                "name all of them in classes"
            )
        numbers = np.array([names.index(name) for name in distinct])[numbers]
    else:
        names, numbers = tuple(map(str, classes)), y
        if distinct[0] < 0 or distinct[-1] >= len(names):
            raise DataError(
                f"{where} expects labels from 0 to {len(names) - 1} for {len(names)} classes, but "
                f"got {distinct[0]} to {distinct[-1]}; name all classes, or leave classes out"
            )
    return numbers.astype(np.int32), names


def _rows(where: str, x: Any, y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays of one length; the labels may be strings."""
    is_mapped = isinstance(x, np.memmap)
    x = x if is_mapped else np.asarray(as_rows(where, "the inputs", x, DataError, wide=True))
    labels = np.asarray(y)
    if labels.dtype.kind in "iubf":
        labels = np.asarray(as_rows(where, "the labels", labels, DataError, wide=True))
    if labels.dtype.kind == "O" and not all(isinstance(v, str) for v in labels.flat):
        raise DataError(
            f"{where} expects labels of one kind, but got objects; pass strings or integers"
        )
    if x.ndim == 0 or labels.ndim == 0 or len(x) != len(labels) or not len(x):
        raise DataError(
            f"{where} expects as many labels as inputs, at least one, but got the shapes {x.shape} "
            f"and {labels.shape}; pass one label per input"
        )
    for name, array in (("x", x), ("y", labels)):
        is_float = not isinstance(array, np.memmap) and array.dtype.kind in "fc"
        if is_float and (text := nonfinite_rows(name, array)):
            raise DataError(f"{where} expects finite values, but {text}; drop or fill these rows")
    return x, labels


def _split(x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> Any:
    if isinstance(x, np.memmap):
        return Stream((x, y), labels=y).take(rows)
    return Split(read_only(x[rows]), read_only(y[rows]))


def _fit(where: str, train: Any) -> Scaling:
    if isinstance(train, Stream):
        raise DataError(
            f"{where} expects arrays in memory to scale, but got a memory map; leave scale out, "
            "and scale in the model"
        )
    return fit_standard(train.x)


def _sha256(array: np.ndarray) -> str:
    """The SHA-256 of an array's values, read in blocks; of strings, of their text."""
    if array.dtype.kind == "O":
        array = array.astype(str)
    digest, rows = hashlib.sha256(), max(1, BLOCK * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), rows):
        digest.update(np.ascontiguousarray(array[start : start + rows]).tobytes())
    return digest.hexdigest()
