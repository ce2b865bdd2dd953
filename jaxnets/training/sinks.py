"""Progress for other programs: numbers by name for any tracker, and files for TensorBoard."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnets.errors import RunError
from jaxnets.training.report import Progress
from jaxnets.trees import flatten_names


def scalars(progress: Progress) -> dict[str, float]:
    """The numbers of a report by name, such as "train/loss" and "validation/accuracy".

    An array (n,), such as a loss per member in a population's history, becomes "train/loss/0" and
    so on; arrays of more axes, such as a confusion matrix, are left out. With this function, a
    tracker's reporter is one line:

        report = lambda p: wandb.log(scalars(p), step=p.step)  # Weights & Biases, and trackio
        report = lambda p: mlflow.log_metrics(scalars(p), step=p.step)
    """
    numbers = {"seconds": progress.seconds, "samples_per_second": progress.samples_per_second}
    for split, metrics in (("train", progress.train), ("validation", progress.validation)):
        for name, value in (metrics or {}).items():
            array = np.asarray(value, np.float64)
            if array.ndim == 0:
                numbers[f"{split}/{name}"] = float(array)
            elif array.ndim == 1:
                members = {f"{split}/{name}/{i}": part for i, part in enumerate(array.tolist())}
                numbers |= members
    return numbers


class TensorBoard:
    """A reporter that writes to a folder of TensorBoard; see `tensorboard`."""

    def __init__(self, writer: Any):
        self.writer = writer

    def __call__(self, progress: Progress) -> None:
        """Write the numbers of a report, and flush them."""
        for name, value in scalars(progress).items():
            self.writer.add_scalar(name, value, progress.step)
        self.writer.flush()

    def weights(self, train_state: Any, objectives: Any = None) -> tuple[str, ...]:
        """Write a histogram of each array of the params; values that are not finite are left out.

        A callback: `fit(..., callbacks=[board.weights])` writes them after every chunk.
        """
        del objectives
        step = int(np.max(train_state.step))
        for name, leaf in flatten_names(jax.device_get(train_state.params)).items():
            values = np.asarray(leaf, np.float64).ravel()
            if np.isfinite(values).any():
                self.writer.add_histogram(name, values[np.isfinite(values)], step)
        return ()

    def images(self, images: Mapping[str, Any], step: int = 0) -> None:
        """Write images by name, each (height, width, 1 or 3), uint8 or floats in 0..1.

        Raises:
          RunError: an array of another shape or dtype.
        """
        for name, image in images.items():
            image = np.asarray(image)
            is_pixels = image.dtype == np.uint8 or image.dtype.kind == "f"
            if image.ndim != 3 or image.shape[-1] not in (1, 3) or not is_pixels:
                raise RunError(
                    f"images expects {name!r} as (height, width, 1 or 3), uint8 or floats in 0..1, "
                    f"but got {image.shape} of {image.dtype}; pass one image per name"
                )
            if image.dtype.kind == "f":
                image = (np.clip(np.nan_to_num(image), 0, 1) * 255 + 0.5).astype(np.uint8)
            self.writer.add_image(name, image, step, dataformats="HWC")


@contextmanager
def tensorboard(folder: str | Path) -> Iterator[TensorBoard]:
    """A reporter that writes files for TensorBoard; needs `pip install "jaxnets[tensorboard]"`.

        with tensorboard("runs/board") as board:
            fit(train_step, data, ..., report=board, callbacks=[board.weights])

    `tensorboard --logdir runs` shows them. A resumed run adds a file to the same folder.

    Raises:
      RunError: tensorboardX is not installed.
      OSError: the folder cannot be written to.
    """
    try:
        from tensorboardX import SummaryWriter  # type: ignore[import-not-found]
    except ModuleNotFoundError as error:
        raise RunError(
            "tensorboard expects the package tensorboardX, but it is not installed; "
            "pip install 'jaxnets[tensorboard]'"
        ) from error
    with SummaryWriter(str(folder)) as writer:
        yield TensorBoard(writer)
