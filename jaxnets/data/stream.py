"""Streams examples from any source with a length and indexing, during training."""

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from jaxnets.arrays import Examples, in_range
from jaxnets.checks import as_integers
from jaxnets.errors import DataError


class Stream:
    """Examples that are read by index in threads, while the device trains on the previous ones.

    For data larger than device or host memory: memory maps, array_record, TFDS's `data_source`,
    PyTorch's map-style datasets, a folder of files. A run on a stream is bit-identical to a run on
    the same data in memory, whatever `workers` and `ahead` are.

    Args:
      source: a tuple `(x, y)` or `(x, y, weights)` of pytrees of arrays that can be indexed by an
        array of rows, such as `numpy.memmap`; or an object with `__len__` and `__getitem__` whose
        items are such tuples.
      item: converts an item of the source to `(x, y)` or `(x, y, weights)`, as in
        `lambda item: (item["image"], item["label"])`.
      workers: the number of threads that read. Use 1 if reading is not thread-safe.
      ahead: the number of blocks of about `block_bytes` to prefetch.
      block_bytes: the size of a block; a compiled chunk uses at most one.
      labels: the labels of all rows (n,), if they are known without reading the examples.

    Raises:
      DataError: the source has no `__len__` or `__getitem__`, its parts differ in length, or an
        item is not such a tuple. The items of later rows are checked when they are read.
    """

    def __init__(
        self,
        source: Any,
        *,
        item: Callable[[Any], tuple] | None = None,
        workers: int = 2,
        ahead: int = 2,
        block_bytes: int = 2**25,
        labels: np.ndarray | None = None,
    ):
        workers, ahead, block_bytes = as_integers(
            "a stream", error=DataError, workers=workers, ahead=ahead, block_bytes=block_bytes
        )
        if isinstance(source, tuple) and item is None and len(source) not in (2, 3):
            raise DataError(
                f"a stream expects (x, y) or (x, y, weights), but got a tuple of {len(source)}; "
                "pass inputs and labels as one pair"
            )
        self.workers, self.ahead, self.block_bytes = workers, ahead, block_bytes
        self._arrays = Examples(*source) if isinstance(source, tuple) and item is None else None
        self._source, self._item = source, item
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="stream")
        self._length = _length(source) if self._arrays is None else _common_length(self._arrays)
        if self._length == 0:
            raise DataError("a stream expects at least one example, but its source is empty")
        if labels is not None and len(labels) != self._length:
            raise DataError(
                f"a stream expects one label per example, but got {len(labels)} labels for "
                f"{self._length} examples; pass those of all rows"
            )
        self.labels, self._rows = labels, np.arange(self._length)
        self._shapes: Any = None  # of a row, once one was read
        self.example: Examples = self.read(np.zeros(1, int))  # one row, for shapes and dtypes

    def __len__(self) -> int:
        return self._length

    def take(self, rows: np.ndarray) -> "Stream":
        """The stream of these rows, which shares the source and the threads of this one."""
        part = copy.copy(self)
        part._rows, part._length = self._rows[rows], len(rows)
        part.labels = None if self.labels is None else self.labels[rows]
        return part

    def read(self, rows: np.ndarray) -> Examples:
        """The examples of these rows, in the given order, as new NumPy arrays."""
        rows = self._rows[rows]
        parts = np.array_split(rows, min(self.workers, len(rows)))
        read = self._gather if self._arrays is not None else self._collate
        examples = list(self._pool.map(read, parts))
        x, y, weights = jax.tree.map(lambda *arrays: np.concatenate(arrays), *examples)
        for array in jax.tree.leaves((x, y)):
            _check_range(array, rows)
        return Examples(x, y, weights if weights is None else _weights(weights, rows))

    def _gather(self, rows: np.ndarray) -> Examples:
        # In ascending order, which is fastest for memory maps and files.
        order = np.argsort(rows, kind="stable")
        inverse = np.argsort(order, kind="stable")
        return jax.tree.map(lambda array: np.asarray(array[rows[order]])[inverse], self._arrays)

    def _collate(self, rows: np.ndarray) -> Examples:
        get_items = getattr(self._source, "__getitems__", None)  # as in TFDS and PyTorch
        indices = rows.tolist()
        items = get_items(indices) if get_items else [self._source[row] for row in indices]
        examples = [self._example(item, row) for item, row in zip(items, indices, strict=True)]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *examples)

    def _example(self, item: Any, row: int) -> Examples:
        item = item if self._item is None else self._item(item)
        if not isinstance(item, tuple | list) or len(item) not in (2, 3):
            raise DataError(
                f"a stream expects items (x, y) or (x, y, weight), but row {row} is of type "
                f"{type(item).__name__}; pass item=lambda item: (x, y), which converts it"
            )
        example = jax.tree.map(np.asarray, Examples(*item))
        shapes = jax.tree.map(np.shape, example)
        self._shapes = self._shapes or shapes
        if shapes != self._shapes:
            raise DataError(
                f"a stream expects examples of one shape, but row {row} has {_describe(shapes)} "
                f"where others have {_describe(self._shapes)}; resize or pad them"
            )
        return example


def _describe(shapes: Examples) -> str:
    return f"x {shapes.x} and y {shapes.y}"


def _check_range(array: np.ndarray, rows: np.ndarray) -> None:
    """Raise if a number would wrap around, or overflow to infinity, in JAX's dtype for it."""
    if in_range(array):
        return
    row = next(r for r, part in zip(rows, array, strict=True) if not in_range(np.asarray(part)))
    raise DataError(
        f"a stream expects numbers in the range of {jax.dtypes.canonicalize_dtype(array.dtype)}, "
        f"which JAX computes in, but row {row} holds one outside it ({array.dtype}); scale the "
        "data, or renumber the classes"
    )


def _weights(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The weights of these rows in float32; raises unless they are finite and at least 0."""
    if weights.ndim != 1:
        raise DataError(
            f"a stream expects one weight per example, but got the shape {weights.shape[1:]} for "
            "each; pass a number"
        )
    weights = weights.astype(np.float32)
    invalid = ~(np.isfinite(weights) & (weights >= 0))
    if invalid.any():
        raise DataError(
            f"a stream expects weights that are finite and at least 0, but row "
            f"{rows[invalid][0]} has {weights[invalid][0]}; a weight of 0 leaves an example out"
        )
    return weights


def _length(source: Any) -> int:
    if not hasattr(source, "__len__") or not hasattr(source, "__getitem__"):
        raise DataError(
            f"a stream expects __len__ and __getitem__, so that any row can be read again, but got "
            f"{type(source).__name__}; write an iterator's items to an array or to files first"
        )
    return len(source)


def _common_length(arrays: Examples) -> int:
    lengths = {len(leaf) for leaf in jax.tree.leaves(arrays)}
    if len(lengths) != 1:
        raise DataError(
            f"a stream expects arrays of one length, but got {sorted(lengths)}; cut them to equal "
            "lengths"
        )
    return lengths.pop()
