"""A photograph, and the decks' filters (S0 and S4), each applied as one convolution."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib import cbook, image

from experiments.decks.s4 import KERNELS
from jaxnets import conv
from jaxnets.inspect import pictures
from jaxnets.training import RunError

EDGE = np.array([[-1, 0, 1], [-1, 0, 1], [-1, 0, 1]])  # dark on the left, bright on the right
SLOPE = np.array([[0, 1, 2], [-1, 0, 1], [-2, -1, 0]])
SHOULDER = np.stack([-SLOPE, 0 * SLOPE, SLOPE], axis=-1)  # bluer and less red, above and right


def load_photo(path: Path | None) -> np.ndarray:
    """A picture (height, width, 3) in 0..1."""
    path = path or Path(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False))
    try:
        photo = image.imread(path)
    except (OSError, ValueError, SyntaxError) as error:
        raise RunError(f"cannot read {path} as a picture: {error}; pass another --photo") from error
    if np.issubdtype(photo.dtype, np.integer):
        photo = photo / np.iinfo(photo.dtype).max
    photo = photo.reshape(*photo.shape[:2], -1)
    colours = photo[..., :3] if photo.shape[-1] > 2 else photo[..., :1]  # without transparency
    return np.broadcast_to(colours, (*photo.shape[:2], 3)).astype(np.float32)


def fit_within(photo: np.ndarray, side: int) -> np.ndarray:
    """The picture, resized to `side` pixels on its longer side."""
    height, width = (max(1, n * side // max(photo.shape[:2])) for n in photo.shape[:2])
    return resize(photo, height, width)


def resize(photo: np.ndarray, height: int, width: int) -> np.ndarray:
    """The picture, resized with linear interpolation and anti-aliasing."""
    return np.asarray(jax.image.resize(photo, (height, width, 3), "linear"))


ONE_FILTER = jax.jit(conv(1, (3, 3), padding="VALID", use_bias=False).apply)


def apply_filters(small: np.ndarray) -> dict[str, pictures.Filtered]:
    """The picture after each filter of the decks.

    `conv` does not flip its kernel: it is the decks' sliding mask.
    """
    grey = small @ np.array([[0.299], [0.587], [0.114]], np.float32)  # brightness, ITU-R BT.601
    results = {}
    for name, kernel in {**KERNELS, "vertical edges": EDGE}.items():
        total = int(np.sum(kernel))
        divisor = f"\ndivided by {total}" if total > 1 else ""  # the blur
        result = convolve(grey, np.array(kernel)[..., None] / (total or 1))
        results[name] = pictures.Filtered(
            result, format_matrix(kernel) + divisor, signed=total == 0
        )
    text = f"on blue:\n{format_matrix(SLOPE)}\non red: the opposite"
    shoulder = pictures.Filtered(convolve(small, SHOULDER), text, signed=True)
    return {**results, "blue above and to the right": shoulder}


def convolve(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """The image (height, width, channels) after one filter (3, 3, channels)."""
    params = {"kernel": kernel[..., None].astype(np.float32)}
    return np.asarray(ONE_FILTER(params, {}, image[None])[0])[0, ..., 0]


def format_matrix(kernel: Any) -> str:
    """A matrix as text, one line per row."""
    return "\n".join(" ".join(f"{value:2d}" for value in row) for row in kernel)
