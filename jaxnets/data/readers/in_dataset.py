"""Datasets of Hugging Face, PyTorch and others: rows by number, as streams."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxnets.data.dataset import Dataset
from jaxnets.data.readers.images import ImageReader, as_size, read_pixels
from jaxnets.data.readers.in_arrays import number_classes
from jaxnets.data.splits import held_out_rows
from jaxnets.data.stream import Stream
from jaxnets.errors import DataError
from jaxnets.messages import printable

LABELS = ("label", "labels", "target", "y")
SAMPLE = 1000  # training images that the mean and the standard deviation are taken from


class Rows(Sequence):
    """A source for `Stream`: the rows of a dataset as inputs and class numbers.

    Attributes:
      dataset: has `__len__` and `__getitem__`, and perhaps `__getitems__`.
      columns: the names of the inputs and of the labels in its rows; None for rows (x, y).
      reader: reads the inputs, if they are images.
      y: the labels of all rows.
    """

    def __init__(self, dataset: Any, columns: tuple[str, str] | None):
        self.dataset, self.columns = dataset, columns
        self.reader: ImageReader | None = None
        self.y: np.ndarray = np.zeros(0)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, row: Any) -> Any:
        return self._convert(self.dataset[row], row)

    def __getitems__(self, rows: list[int]) -> list[Any]:
        """Several rows at once."""
        get_items = getattr(self.dataset, "__getitems__", None)
        items = get_items(rows) if get_items else [self.dataset[row] for row in rows]
        return [self._convert(item, row) for item, row in zip(items, rows, strict=True)]

    def parts(self, item: Any) -> tuple[Any, Any]:
        """The input and the label of a row."""
        return tuple(item) if self.columns is None else tuple(item[name] for name in self.columns)

    def _convert(self, item: Any, row: int) -> tuple[np.ndarray, Any]:
        value = self.parts(item)[0]
        return as_input(value, self.reader, row), self.y[row]


def from_dataset(
    dataset: Any,
    *,
    x: str | None = None,
    y: str | None = None,
    classes: Sequence[str] | None = None,
    size: int | tuple[int, int] | None = None,
    grey: bool = False,
    test: Any = 0.2,
    seed: int = 0,
    workers: int = 2,
) -> Dataset:
    """A data set from a map-style dataset: of Hugging Face, PyTorch, or any with `__getitem__`.

    The dataset is used as it is: an object with `__len__` and `__getitem__`, whose rows are dicts,
    or tuples (x, y). Both splits are `Stream`s, which read its rows during training. Images,
    Pillow's or dicts with the encoded "bytes", are converted to pixels by an `ImageReader`, which
    is `dataset.preprocess`; a PyTorch tensor (channels, height, width) with 1 or 3 channels becomes
    (height, width, channels).

        cifar = data.from_dataset(datasets.load_dataset("cifar10", split="train"), x="img")

    Args:
      dataset: the training rows, or all of them.
      x: the name of the inputs in rows that are dicts; by default the only one besides the labels.
      y: the name of the labels; by default "label", "labels", "target" or "y".
      classes: the names of the classes; by default those that the dataset has in
        `features[y].names` or in `classes`, else the sorted labels.
      size: the height and width of images; by default those of the first one.
      grey: whether images get one channel.
      test: the share of each class to hold out; or another dataset of the same kind.
      seed: determines which rows are held out.
      workers: the number of threads that read. Use 1 if the dataset is not thread-safe.

    Returns:
      The data set. Its checksums are the fingerprint of Hugging Face's dataset, or else the SHA-256
      of all labels; the inputs are not read in advance.

    Raises:
      DataError: the dataset cannot be indexed by row, has rows of another form, or cannot be split.
    """
    where, is_share = "from_dataset", isinstance(test, float | int)
    parts = [_rows(where, each, x, y) for each in ([dataset] if is_share else [dataset, test])]
    labels = [_labels(rows) for rows in parts]
    named = classes if classes is not None else _class_names(parts[0])
    numbers, names = number_classes(where, np.concatenate(labels), named)
    for rows, values in zip(parts, np.split(numbers, [len(labels[0])]), strict=False):
        rows.y = values
    held_out = None
    if is_share:
        held_out = held_out_rows(where, numbers, test, seed, name="test", classes=names)
    train_rows = np.arange(len(labels[0])) if held_out is None else np.flatnonzero(~held_out)
    reader = _fit_reader(parts[0], train_rows, as_size(where, size), grey, seed)
    for rows in parts:
        rows.reader = reader
    streams = [Stream(rows, workers=workers, labels=rows.y) for rows in parts]
    if held_out is not None:
        streams = [streams[0].take(np.flatnonzero(part)) for part in (~held_out, held_out)]
    return Dataset(
        *streams,
        name=type(dataset).__name__.lower(),
        source=f"{len(numbers)} rows of a {type(dataset).__module__}.{type(dataset).__name__}",
        checksums=dict(map(_checksum, ("train", "test"), parts)),
        classes=names,
        preprocess=reader,
    )


def as_input(value: Any, reader: ImageReader | None, row: int) -> np.ndarray:
    """One input as an array; raises `DataError` if it is an image that cannot be read."""
    if reader is not None:
        try:
            return reader(value["bytes"] if isinstance(value, Mapping) else value)[0]
        except DataError as error:
            raise DataError(f"row {row}: {error}") from None
    array = np.asarray(value)
    if array.dtype.kind not in "biufc":
        raise DataError(
            f"from_dataset expects images or numbers as inputs, but row {row} has "
            f"{type(value).__name__}; wrap the dataset in one that converts them, such as text by "
            "Vocabulary.encode"
        )
    is_tensor = type(value).__module__.partition(".")[0] == "torch"
    if is_tensor and array.ndim == 3 and array.shape[0] in (1, 3):
        return np.moveaxis(array, 0, -1)
    return array


def _rows(where: str, dataset: Any, x: str | None, y: str | None) -> Rows:
    """The dataset as a source; raises unless its rows have the inputs and labels."""
    if isinstance(dataset, Mapping):
        raise DataError(
            f"{where} expects one dataset, but got the splits {printable([*dataset])}; pass "
            'dataset["train"], and test=dataset["test"]'
        )
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise DataError(
            f"{where} expects __len__ and __getitem__, so that any row can be read again, but got "
            f"a {type(dataset).__name__}; load it without streaming, or write it to files first"
        )
    if not len(dataset):
        raise DataError(f"{where} expects at least one row, but the dataset is empty; pass another")
    first = dataset[0]
    if isinstance(first, Mapping):
        return Rows(dataset, _columns(where, [*first], x, y))
    if not isinstance(first, tuple | list) or len(first) != 2 or x is not None or y is not None:
        raise DataError(
            f"{where} expects rows as tuples (x, y), or as dicts for x=... and y=..., but got a "
            f"{type(first).__name__}; wrap the dataset in one whose rows are pairs"
        )
    return Rows(dataset, None)


def _columns(where: str, names: list[str], x: str | None, y: str | None) -> tuple[str, str]:
    label = y if y is not None else next((name for name in LABELS if name in names), None)
    rest = [name for name in names if name != label]
    value = x if x is not None else rest[0] if len(rest) == 1 else None
    if label not in names or value not in names:
        raise DataError(
            f"{where} expects the names of the inputs and the labels among {printable(names)}, but "
            f"got x={value!r} and y={label!r}; pass x=... and y=..."
        )
    return value, label  # type: ignore[return-value]


def _labels(rows: Rows) -> np.ndarray:
    """The labels of all rows: from a column or `targets` if there are, else from each row."""
    dataset = rows.dataset
    if rows.columns is not None and hasattr(dataset, "column_names"):  # Hugging Face
        return np.asarray(list(dataset[rows.columns[1]]))
    targets = getattr(dataset, "targets", None)
    if targets is not None and getattr(dataset, "target_transform", None) is None:
        return np.asarray(targets)
    return np.asarray([np.asarray(rows.parts(dataset[row])[1]) for row in range(len(dataset))])


def _class_names(rows: Rows) -> Sequence[str] | None:
    features = getattr(rows.dataset, "features", None)
    if rows.columns is not None and isinstance(features, Mapping):
        return getattr(features.get(rows.columns[1]), "names", None)
    return getattr(rows.dataset, "classes", None)


def _fit_reader(
    rows: Rows, train: np.ndarray, size: tuple[int, int] | None, grey: bool, seed: int
) -> ImageReader | None:
    """A reader for images, with the mean and deviation of up to `SAMPLE` training rows."""
    first = rows.parts(rows.dataset[0])[0]
    is_encoded = isinstance(first, Mapping) and "bytes" in first
    if not is_encoded and not hasattr(first, "getbands"):  # Pillow's images have it
        return None
    if size is None:
        pixels = read_pixels(first["bytes"] if is_encoded else first, None, grey)
        size = pixels.shape[0], pixels.shape[1]
    reader = ImageReader(size, grey)
    chosen = np.random.Generator(np.random.PCG64(seed)).permutation(train)[:SAMPLE]
    values = ((rows.parts(rows.dataset[row])[0], row) for row in chosen.tolist())
    pixels = np.stack([as_input(value, reader, row) for value, row in values])
    std = pixels.std((0, 1, 2)) / 255
    mean = tuple((pixels.mean((0, 1, 2)) / 255).tolist())
    return ImageReader(size, grey, mean, tuple(np.where(std > 0, std, 1).tolist()))


def _checksum(part: str, rows: Rows) -> tuple[str, str]:
    fingerprint = getattr(rows.dataset, "_fingerprint", None)
    if isinstance(fingerprint, str):
        return f"{part} fingerprint", fingerprint
    return f"{part} labels", hashlib.sha256(rows.y.tobytes()).hexdigest()
