"""Plain functions that enlarge images."""

from collections.abc import Callable, Sequence
from typing import Literal

import jax.numpy as jnp

from jaxnets.checks import as_integers
from jaxnets.dtypes import as_array, as_float, wide_dtype
from jaxnets.errors import LayerError
from jaxnets.layer import Array
from jaxnets.layers.checks import as_tuple, check_pixels, per_axis


def pixel_shuffle(factor: int) -> Callable[[Array], Array]:
    """Makes pixels from channels: enlarges each of n spatial axes, with fewer channels.

    From (batch, *space, channels * factor^n) to (batch, *space * factor, channels). The channels
    that become one are adjacent, in the order of rows and columns, as in PyTorch: for images, the
    channel (c * factor + i) * factor + j becomes channel c of the pixel in row i and column j.
    TensorFlow's `depth_to_space` has the order (i, j, c). Source: Shi et al. 2016, "Real-time
    single image and video super-resolution", equation 4.

    Raises:
      LayerError: `factor` is not a positive integer, or channels that are not a multiple of
        factor^n.
    """
    name = f"pixel_shuffle({factor})"
    [factor] = as_integers(name, error=LayerError, factor=factor)

    def shuffle(x: Array) -> Array:
        batch, *space, channels = (x := as_array(x)).shape
        axes = range(1, len(space) + 1)
        features, rest = divmod(channels, factor ** len(space))
        if rest:
            raise LayerError(
                f"{name} expects channels in multiples of {factor ** len(space)}, but got {x.shape}"
            )
        x = x.reshape(batch, *space, features, *[factor] * len(space))
        x = x.transpose(0, *(a for n in axes for a in (n, n + len(space) + 1)), len(space) + 1)
        return x.reshape(batch, *(n * factor for n in space), features)

    return shuffle


def upsample(
    factor: int | Sequence[int], *, method: Literal["nearest", "linear"] = "nearest"
) -> Callable[[Array], Array]:
    """Enlarges images by whole factors: from (batch, *space, channels) to *space * factor.

    The centres of pixels are at 1/2, 3/2, ..., and values outside are those of the nearest pixel:
    PyTorch's `Upsample(align_corners=False)`, Keras's `UpSampling2D`, `jax.image.resize`.

    Args:
      factor: how many pixels each becomes along each spatial axis; one integer applies to all axes.
      method: "nearest" repeats each pixel; "linear" interpolates, for images bilinearly.

    Raises:
      LayerError: a factor that is not a positive integer per axis, another method, or an image
        without pixels.
    """
    name = f"upsample({factor})"
    if method not in ("nearest", "linear"):
        raise LayerError(f'{name} expects method "nearest" or "linear", but got {method!r}')
    per_axis(name, len(as_tuple(factor)), factor=factor)

    def enlarge(x: Array) -> Array:
        x = as_float(x)
        [factors] = per_axis(name, x.ndim - 2, factor=factor)
        check_pixels(name, x)
        a = x.astype(wide_dtype(x.dtype))  # gradients of repeated pixels are summed
        for axis, n in enumerate(factors, start=1):
            a = jnp.repeat(a, n, axis) if method == "nearest" else _interpolated(a, n, axis)
        return a.astype(x.dtype)

    return enlarge


def _interpolated(x: Array, factor: int, axis: int) -> Array:
    """Linear interpolation along an axis, to `factor` values for each, like `jax.image.resize`.

    Avoids its matmuls, which would count as FLOPs and make every receptive field the whole axis.
    """
    n = x.shape[axis]
    before = jnp.concatenate([x[_along(axis, 0, 1)], x[_along(axis, 0, n - 1)]], axis)
    after = jnp.concatenate([x[_along(axis, 1, n)], x[_along(axis, n - 1, n)]], axis)
    phases = []
    for number in range(factor):
        t = (number + 0.5) / factor - 0.5  # from the centre of a pixel, in pixels
        phases.append(x + abs(t) * ((before if t < 0 else after) - x))
    shape = (*x.shape[:axis], n * factor, *x.shape[axis + 1 :])
    return jnp.stack(phases, axis + 1).reshape(shape)


def _along(axis: int, start: int, stop: int) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, slice(start, stop))
