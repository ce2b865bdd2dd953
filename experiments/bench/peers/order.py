"""In which order every peer sees the training images, and how many test images at once."""

from collections.abc import Iterator

import numpy as np

from experiments.bench.cases import steps_per_epoch
from experiments.bench.task import Task

TESTED = 1000  # test images at once


def epochs(task: Task, examples: int) -> Iterator[np.ndarray]:
    """For each epoch the rows of its batches, int32 (steps, batch_size), without end.

    Shuffled anew on the host; the last partial batch is dropped.
    """
    random, steps = np.random.default_rng(task.seed), steps_per_epoch(task, examples)
    if steps == 0:
        raise ValueError(f"A batch of {task.batch_size} needs as many images; got {examples}.")
    while True:
        order = random.permutation(examples)[: steps * task.batch_size]
        yield order.reshape(steps, task.batch_size).astype(np.int32)
