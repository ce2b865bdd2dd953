"""What every peer trains on, and in which order."""

from collections.abc import Iterator

import numpy as np

from experiments.bench.task import Task
from jaxnets import data
from jaxnets.data import Split

# Pixels a side and channels of the networks that are too large for MNIST; their images are noise.
NOISE = {"alexnet": (227, 3), "vgg16": (224, 3), "resnet18": (224, 3), "resnet50": (224, 3)}
CLASSES = 1000  # of the noise
BATCHES = 4  # of noise, trained on again and again
TESTED = 1000  # test images at once


def images(task: Task) -> tuple[Split, Split]:
    """Training and test images, uint8 (n, side, side, channels), and their labels, int32 (n,)."""
    if task.case not in NOISE:
        mnist = data.load("mnist", data_dir=task.data_dir)
        return mnist.train, mnist.test
    side, channels = NOISE[task.case]
    random = np.random.default_rng(task.seed)

    def noise(n: int) -> Split:
        x = random.integers(256, size=(n, side, side, channels), dtype=np.uint8)
        return Split(x, random.integers(CLASSES, size=n, dtype=np.int32))

    return noise(BATCHES * task.batch_size), noise(task.batch_size)


def epochs(rows: int, task: Task) -> Iterator[np.ndarray]:
    """For each epoch the rows of its batches, int32 (steps, batch_size), without end.

    Shuffled anew for each; the last partial batch is dropped. Drawn on the host.
    """
    random, steps = np.random.default_rng(task.seed), rows // task.batch_size
    while True:
        order = random.permutation(rows)[: steps * task.batch_size]
        yield order.reshape(steps, task.batch_size).astype(np.int32)
