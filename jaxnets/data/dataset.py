"""A data set: its two splits and its source."""

from typing import NamedTuple

import numpy as np


class Absent(Exception):
    """A source does not have the data set; the message says where it looked. The next is tried."""


class Split(NamedTuple):
    """Images and their labels, row by row."""

    x: np.ndarray  # uint8 (n, 28, 28, 1): 0 is background, 255 is full ink
    y: np.ndarray  # int32 (n,): an index into Dataset.classes


class Dataset(NamedTuple):
    """A data set with its published splits; read-only, since JAX may share the arrays' memory."""

    train: Split
    test: Split
    name: str  # "mnist"
    source: str  # a description: "packaged with jaxnets", "IDX files in /data/mnist (...)"
    checksums: dict[str, str]  # SHA-256 of each unpacked IDX file, or of each array
    classes: tuple[str, ...]


def read_only(array: np.ndarray) -> np.ndarray:
    """The same array, made read-only."""
    array.flags.writeable = False
    return array
