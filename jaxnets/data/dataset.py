"""A data set: its two splits and its source."""

import os
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from jaxnets.errors import DataError
from jaxnets.messages import printable

Rows = TypeVar("Rows")  # Split, Stream, Series or Texts


class Absent(Exception):
    """A source does not have the data set; the message says where it looked. The next is tried."""


class Split(NamedTuple):
    """Inputs and their labels, row by row."""

    x: np.ndarray  # of MNIST, uint8 (n, 28, 28, 1): 0 is background, 255 is full ink
    y: np.ndarray  # int32 (n,): an index into Dataset.classes; floats in regression


class Dataset(NamedTuple, Generic[Rows]):
    """A data set with its two splits; arrays are read-only, since JAX may share their memory.

    Attributes:
      train: the training examples: a `Split`; a `Stream` if they do not fit in memory; `Series`
        from `load_series`; `Texts` from `load_imdb`.
      test: the test examples, likewise.
      name: such as "mnist".
      source: a description: "packaged with jaxnets", "IDX files in /data/mnist (...)".
      checksums: the SHA-256 of each unpacked file, of each array or of each class.
      classes: the names of the classes; empty in regression.
      preprocess: converts raw data, such as a file, to inputs; None if there is no conversion.
    """

    train: Rows
    test: Rows
    name: str
    source: str
    checksums: dict[str, str]
    classes: tuple[str, ...]
    preprocess: Any = None


def read_only(array: np.ndarray) -> np.ndarray:
    """The same array, made read-only."""
    array.flags.writeable = False
    return array


def data_folder(data_dir: str | os.PathLike[str] | None) -> Path | None:
    """The folder that the user set, by `data_dir` or the environment variable; None if neither."""
    path = data_dir if data_dir is not None else os.environ.get("JAXNETS_DATA_DIR")
    if not path:
        return None
    if not isinstance(path, str | os.PathLike):
        raise DataError(f"data_dir must be the path of a folder, but is {path!r}.")
    folder = Path(os.path.expanduser(path))
    if not os.path.isdir(folder):
        origin = "data_dir" if data_dir is not None else "the environment variable JAXNETS_DATA_DIR"
        raise DataError(
            f"{printable(folder)}, set by {origin}, is not a folder: create it, or set another."
        )
    return folder
