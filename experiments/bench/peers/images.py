"""The data of every peer, and their order. Does not import JAX, for PyTorch's process."""

import gzip
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.bench.cases import CASES
from experiments.bench.task import Task

MNIST = Path(find_spec("jaxnets").origin).parent / "data" / "mnist"  # without an import
CLASSES = 1000  # labels of the noise images
BATCHES = 4  # batches of noise, repeated
TESTED = 1000  # test images per batch


class Split(NamedTuple):
    """Images and their labels."""

    x: np.ndarray  # uint8 (n, height, width, channels)
    y: np.ndarray  # int32 (n,)


def images(task: Task) -> tuple[Split, Split]:
    """Training and test images of a task: MNIST, or random noise for the large networks."""
    case = CASES[task.case]
    if case.learns:
        folder = MNIST if task.data_dir is None else Path(task.data_dir)
        return mnist(folder, "train"), mnist(folder, "t10k")
    random = np.random.default_rng(task.seed)

    def noise(n: int) -> Split:
        x = random.integers(256, size=(n, *case.shape), dtype=np.uint8)
        return Split(x, random.integers(CLASSES, size=n, dtype=np.int32))

    return noise(BATCHES * task.batch_size), noise(task.batch_size)


def mnist(folder: Path, name: str) -> Split:
    """One split from IDX files (LeCun, Cortes & Burges 1998) in a folder, raw or .gz."""
    x, y = (read(folder / f"{name}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1"))
    return Split(
        np.frombuffer(x, np.uint8, offset=16).reshape(-1, 28, 28, 1),
        np.frombuffer(y, np.uint8, offset=8).astype(np.int32),
    )


def read(path: Path) -> bytes:
    """The content of a file, or the unpacked content of its .gz version."""
    if path.exists():
        return path.read_bytes()
    return gzip.decompress(path.with_name(f"{path.name}.gz").read_bytes())


def decay_steps(task: Task, rows: int) -> int | None:
    """The number of steps over which the learning rate decays."""
    return task.epochs and task.epochs * (rows // task.batch_size)


def epochs(rows: int, task: Task) -> Iterator[np.ndarray]:
    """An infinite iterator over epochs: the rows of their batches, int32 (steps, batch_size).

    Shuffled for each epoch on the host; the last partial batch is dropped.
    """
    random, steps = np.random.default_rng(task.seed), rows // task.batch_size
    if steps == 0:
        raise ValueError(f"Batches of {task.batch_size} need as many images, but there are {rows}.")
    while True:
        order = random.permutation(rows)[: steps * task.batch_size]
        yield order.reshape(steps, task.batch_size).astype(np.int32)
