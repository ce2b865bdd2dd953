"""Windows along the time axis of arrays and padded batches, for convolution and pooling."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxnets import lowering
from jaxnets.dtypes import as_array
from jaxnets.errors import LayerError
from jaxnets.layer import Array
from jaxnets.layers.checks import TimePadding
from jaxnets.padded import Padded, expect_steps, repad

Pairs = tuple[tuple[int, int], ...]


class Windows(NamedTuple):
    """Where the windows of a convolution or a pool are, along each spatial axis.

    Attributes:
      span: the extent of a window, dilation included.
      strides: the distance between windows.
      padding: as the layer's argument.
      ceil_mode: whether a last window may reach beyond the padding.
    """

    span: tuple[int, ...]
    strides: tuple[int, ...]
    padding: TimePadding
    ceil_mode: bool = False


class _Aligned(NamedTuple):
    """A padded batch in which the first window of every row starts at the same step.

    Attributes:
      values: (batch, time, channels).
      valid: whether a step is one of its row's, bool (batch, time).
      pairs: the zeros around each row, before and after.
      lengths: the number of windows of each row.
    """

    values: Array
    valid: Array
    pairs: Pairs
    lengths: Array


def over_windows(
    name: str, x: Any, windows: Windows, f: Callable[[Array, Pairs], Any], fill: Any = 0
) -> Any:
    """`f(values, pairs)`, with the padding as (before, after) pairs per spatial axis.

    A padded batch (batch, time, channels) remains one, with the windows that each row has alone;
    `f` gets its values with `fill` in the padding.
    """
    span, strides, padding, ceil_mode = windows
    if not isinstance(x, Padded):
        pairs = lowering.explicit_padding(name, x.shape[1:-1], span, strides, padding)
        if ceil_mode:
            pairs = lowering.ceil_padding(x.shape[1:-1], span, strides, pairs)
        return f(x, pairs)
    if ceil_mode:
        raise LayerError(f"{name} in ceil mode takes no padded batch; use padding instead")
    aligned = _align(name, x, span[0], strides[0], padding)
    values = jnp.where(aligned.valid[..., None], aligned.values, jnp.asarray(fill, x.values.dtype))
    return repad(f(values, aligned.pairs), aligned.lengths)


def image_of(name: str, axes: int, x: Any) -> Any:
    """The array whose shape is to be checked: the values of a padded batch, for one spatial axis.

    Raises:
      LayerError: a padded batch for two axes; names `each_step`.
    """
    if axes > 1 or not isinstance(x, Padded):
        return x
    expect_steps(name, x, "(batch, time, channels)")
    return x.values


def _align(name: str, x: Padded, window: int, stride: int, padding: TimePadding) -> _Aligned:
    values, lengths = as_array(x.values), jnp.maximum(jnp.asarray(x.lengths), 0)
    extent = values.shape[1]
    pairs = lowering.explicit_padding(name, (extent,), (window,), (stride,), padding)
    if padding != "SAME" or stride == 1:
        count = (lengths + sum(pairs[0]) - window) // stride + 1
        count = jnp.where(lengths > 0, jnp.maximum(count, 0), 0)
        return _Aligned(values, x.mask, pairs, count)
    # The number of zeros before a row depends on its length, so each row is shifted separately.
    count = -(-lengths // stride)
    before = jnp.maximum((count - 1) * stride + window - lengths, 0) // 2
    shifted_extent = (-(-extent // stride) - 1) * stride + window
    steps = jnp.arange(shifted_extent)[None] - before[:, None]
    valid = (steps >= 0) & (steps < lengths[:, None])
    shifted = jnp.take_along_axis(values, jnp.clip(steps, 0, extent - 1)[..., None], axis=1)
    return _Aligned(shifted, valid, ((0, 0),), count)
