"""What loading yields: two splits, and where they came from."""

from typing import NamedTuple

import numpy as np


class Absent(Exception):
    """A source does not have the data set, so that the next may be asked. Says where it looked."""


class Split(NamedTuple):
    """Images and their labels, row by row."""

    x: np.ndarray  # uint8 (n, 28, 28, 1): 0 is background, 255 is full ink
    y: np.ndarray  # int32 (n,): an index into Dataset.classes


class Dataset(NamedTuple):
    """A data set as its authors divided it; read-only, for JAX may share the arrays' memory."""

    train: Split
    test: Split
    name: str  # "mnist"
    source: str  # for people: "packaged with jaxnets", "IDX files in /data/mnist (...)"
    checksums: dict[str, str]  # SHA-256 of what was loaded: each IDX file unpacked, or each array
    classes: tuple[str, ...]


def read_only(array: np.ndarray) -> np.ndarray:
    """The same array, refusing assignment."""
    array.flags.writeable = False
    return array
