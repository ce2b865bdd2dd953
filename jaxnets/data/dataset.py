"""A data set: its two splits and its source."""

from typing import Any, NamedTuple

import numpy as np


class Absent(Exception):
    """A source does not have the data set; the message says where it looked. The next is tried."""


class Split(NamedTuple):
    """Inputs and their labels, row by row."""

    x: np.ndarray  # of MNIST, uint8 (n, 28, 28, 1): 0 is background, 255 is full ink
    y: np.ndarray  # int32 (n,): an index into Dataset.classes; floats in regression


class Dataset(NamedTuple):
    """A data set with its two splits; read-only, since JAX may share the arrays' memory.

    A split that does not fit in memory is a `data.Stream`, which is trained on in the same way.
    """

    train: Any  # a Split, or a Stream
    test: Any  # likewise
    name: str  # "mnist"
    source: str  # a description: "packaged with jaxnets", "IDX files in /data/mnist (...)"
    checksums: dict[str, str]  # SHA-256 of each unpacked IDX file, of each array, of each class
    classes: tuple[str, ...]  # empty in regression
    preprocess: Any = None  # converts what a user has, such as a file, to inputs; see data.own


def read_only(array: np.ndarray) -> np.ndarray:
    """The same array, made read-only."""
    array.flags.writeable = False
    return array
