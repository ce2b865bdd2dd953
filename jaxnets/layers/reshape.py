"""Plain functions that reshape or rescale an input."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from jaxnets.checks import as_integers
from jaxnets.dtypes import as_float, wide_dtype
from jaxnets.errors import LayerError
from jaxnets.layer import Array
from jaxnets.layers.channels import per_channel
from jaxnets.layers.checks import plain


@plain
def flatten(x: Array, start: int = 1) -> Array:
    """Merges all axes from `start` on, by default all but the batch: to (batch, features).

    `functools.partial(flatten, start=2)` keeps an axis of time.

    Raises:
      LayerError: `start` is not an axis, or the number of axes.
    """
    [start] = as_integers("flatten", at_least=0, error=LayerError, start=start)
    if start > x.ndim:
        raise LayerError(f"flatten expects start from 0 to {x.ndim} for {x.shape}, but got {start}")
    return x.reshape(*x.shape[:start], math.prod(x.shape[start:]))


def scale_pixels(
    mean: float | Sequence[float] | np.ndarray | Array = 0.0,
    std: float | Sequence[float] | np.ndarray | Array = 1.0,
) -> Callable[[Array], Array]:
    """A function from pixels in 0..255 to floats: (x / 255 - mean) / std.

    `mean` and `std` are fractions of 255: one number, one per channel, or one per pixel, such as
    the mean image `train.x.mean(0) / 255` that AlexNet subtracts.
    """

    def scale(x: Array) -> Array:
        x = as_float(x)
        pixels = x.astype(wide_dtype(x.dtype)) / 255
        return ((pixels - per_channel(mean, x)) / per_channel(std, x)).astype(x.dtype)

    return scale
