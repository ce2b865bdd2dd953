"""The networks that everyone trains, and the images they are trained on.

NumPy alone: a peer's process imports this, and must not pay for another's framework.
"""

import gzip
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from experiments.bench.task import Task

LEARNING_RATE = 1e-3  # of Adam, with 0.9, 0.999 and 1e-8 otherwise
NORM_DECAY = 0.9  # the weight of the old running statistics: what PyTorch calls a momentum of 0.1
NORM_EPSILON = 1e-5
RANDOM_IMAGES = 512  # 77 MB at 224 x 224: enough for any batch, and no epoch is ever learnt


class Case(NamedTuple):
    """A network, whose input is divided by 255 and whose loss is softmax cross-entropy.

    Attributes:
      network: what it is, for people; convolutions are padded as "SAME".
      shape: (height, width, channels) of an image.
      classes: how many logits.
      images: MNIST, where accuracy means something, or noise, where speed alone does.
    """

    network: str
    shape: tuple[int, int, int]
    classes: int
    images: Literal["mnist", "random"]


CASES = {
    # W1: each dense layer but the last is followed by ReLU.
    "mlp": Case("784-500-300-10", (28, 28, 1), 10, "mnist"),
    # W2: a convolution is followed by batch norm and ReLU, and has no bias.
    "cnn_bn": Case(
        "conv 3x3x16, pool 2x2, conv 3x3x32, pool 2x2, conv 3x3x64, dense 50, dense 10, batch norm",
        *((28, 28, 1), 10, "mnist"),
    ),
    # W3: a convolution is followed by ReLU.
    "cnn_5x5": Case(
        "conv 5x5x32, pool 2x2, conv 5x5x64, pool 2x2, dense 256, dense 10",
        *((28, 28, 1), 10, "mnist"),
    ),
    "alexnet": Case("AlexNet in two groups", (227, 227, 3), 1000, "random"),
    "vgg16": Case("VGG-16", (224, 224, 3), 1000, "random"),
    "resnet18": Case("ResNet-18", (224, 224, 3), 1000, "random"),
    "resnet50": Case("ResNet-50", (224, 224, 3), 1000, "random"),
}


class Images(NamedTuple):
    """uint8 images (n, height, width, channels) and int32 labels (n,), to train and to test on."""

    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray


def images(task: Task) -> Images:
    """What the task's network is trained and tested on."""
    case = CASES[task.case]
    if case.images == "random":
        chance = np.random.default_rng(0)
        x = chance.integers(0, 256, (RANDOM_IMAGES, *case.shape), np.uint8)
        y = chance.integers(0, case.classes, RANDOM_IMAGES, np.int32)
        return Images(x, y, x[:64], y[:64])
    folder = Path(task.data_dir) if task.data_dir else _packaged()
    train, test = (_split(folder, name) for name in ("train", "t10k"))
    return Images(*train, *test)


def steps_per_epoch(task: Task, examples: int) -> int:
    """Batches in an epoch, without the last, smaller one."""
    return examples // task.batch_size


def _packaged() -> Path:
    """MNIST's folder in jaxnets, found without importing jaxnets, which imports JAX."""
    (package,) = find_spec("jaxnets").submodule_search_locations  # type: ignore[union-attr]
    return Path(package) / "data" / "mnist"


def _split(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    x = _values(folder / f"{name}-images-idx3-ubyte.gz", header=16).reshape(-1, 28, 28, 1)
    return x, _values(folder / f"{name}-labels-idx1-ubyte.gz", header=8).astype(np.int32)


def _values(path: Path, header: int) -> np.ndarray:
    """The bytes of an IDX file after its header, whose length its rank decides."""
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)
