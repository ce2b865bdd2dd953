"""`jaxnets predict`: classify images with a saved model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

import jaxnets
from jaxnets.errors import RunError
from jaxnets.messages import printable


@dataclass(frozen=True)
class Options:
    """Classify images with a model that `save_model` wrote; print a line per image."""

    model: Annotated[Path, tyro.conf.Positional]
    """The saved model, a .jaxnets file."""
    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Image files, in any format that Pillow reads."""
    top: int = 3
    """The number of classes to print, the most probable first."""


def main(arguments: Sequence[str]) -> None:
    """Print each image's classes and their probabilities.

    Raises:
      ModelFileError: the model's file is damaged.
      RunError: no image is passed, the model does not take images, or a file is not an image.
    """
    options = tyro.cli(Options, args=arguments, prog="jaxnets predict")
    if not options.images or options.top < 1:
        raise RunError("predict expects a model and at least one image, and --top of at least 1")
    model: Any = jaxnets.load_model(options.model)
    for path in options.images:
        probabilities = np.atleast_2d(
            model.predict_proba(read(path, channels(model), size(model)))
        )[0]
        if len(probabilities) == 1:  # of class 1 of two
            probabilities = np.array([1 - probabilities[0], probabilities[0]])
        order = np.argsort(-probabilities, kind="stable")[: options.top]
        names = model.classes or range(len(probabilities))
        best = ", ".join(f"{printable(names[i])} {probabilities[i]:.1%}" for i in order)
        print(f"{printable(path)}: {best}")


def channels(model: Any) -> int:
    """The channels of the images that a model takes: 1 or 3."""
    shape = tuple(model.inputs[0].shape)[-3:]
    if len(model.inputs) != 1 or len(shape) != 3 or shape[-1] not in (1, 3):
        raise RunError(
            f"expected a model that takes images (n, height, width, 1 or 3), but {model!r} has "
            "other inputs; use load_model in Python"
        )
    return shape[-1]


def size(model: Any) -> tuple[int, int] | None:
    """The (width, height) to resize to; None if any size is accepted, or preprocessing resizes."""
    height, width = model.inputs[0].shape[-3:-1]
    known = isinstance(height, int) and isinstance(width, int)
    return (width, height) if known and model.preprocess is None else None


def read(path: Path, channels: int, size: tuple[int, int] | None) -> np.ndarray:
    """An image, uint8 (1, height, width, channels), resized to this width and height.

    Raises:
      RunError: the file is not an image, or is too large for one.
      OSError: it cannot be read.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            converted = image.convert("L" if channels == 1 else "RGB")
            pixels = np.asarray(converted.resize(size) if size else converted)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise RunError(f"Pillow cannot read {printable(path)} as an image: {error}") from error
    return pixels.reshape(1, *pixels.shape[:2], channels)
