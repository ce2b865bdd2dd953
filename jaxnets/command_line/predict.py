"""`jaxnets predict`: classify pictures with a saved model."""

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
    """Classify pictures with a model that `save_model` wrote; print a line per picture."""

    model: Annotated[Path, tyro.conf.Positional]
    """The saved model, a .jaxnets file."""
    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Picture files, in any format that Pillow reads."""
    top: int = 3
    """The number of classes to print, the most probable first."""


def main(arguments: Sequence[str]) -> None:
    """Print each picture's classes and their probabilities.

    Raises:
      ModelFileError: the model's file is damaged, or does not take pictures.
      RunError: no picture is passed, or a file is not a picture.
    """
    options = tyro.cli(Options, args=arguments, prog="jaxnets predict")
    if not options.images or options.top < 1:
        raise RunError("predict expects a model and at least one picture, and --top of at least 1")
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
    """The channels of the pictures that a model takes: 1 or 3."""
    shape = tuple(model.inputs[0].shape)[-3:]
    if len(model.inputs) != 1 or len(shape) != 3 or shape[-1] not in (1, 3):
        raise RunError(
            f"expected a model of pictures (n, height, width, 1 or 3), but {model!r} has other "
            "inputs; use load_model in Python"
        )
    return shape[-1]


def size(model: Any) -> tuple[int, int] | None:
    """The width and height that a model without preprocessing takes; None if any."""
    height, width = model.inputs[0].shape[-3:-1]
    known = isinstance(height, int) and isinstance(width, int)
    return (width, height) if known and model.preprocess is None else None


def read(path: Path, channels: int, size: tuple[int, int] | None) -> np.ndarray:
    """A picture, uint8 (1, height, width, channels), resized to this width and height.

    Raises:
      RunError: the file is not a picture, or is too large for one.
      OSError: it cannot be read.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            converted = picture.convert("L" if channels == 1 else "RGB")
            pixels = np.asarray(converted.resize(size) if size else converted)
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise RunError(f"Pillow cannot read {printable(path)} as a picture: {error}") from error
    return pixels.reshape(1, *pixels.shape[:2], channels)
