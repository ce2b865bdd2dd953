"""Pooling: plain functions without parameters, and a layer for stochastic pooling."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets import lowering
from jaxnets.dtypes import as_array, as_float, wide_dtype
from jaxnets.errors import LayerError
from jaxnets.layer import Array, Key, Layer, Params, State
from jaxnets.layers.checks import Padding, as_padding, check_pixels, per_axis, plain, require_key
from jaxnets.layers.defaults import MAX_POOL
from jaxnets.layers.recurrent.over_time import lowest
from jaxnets.layers.windows import Pairs, Windows, image_of, over_windows
from jaxnets.padded import Padded, unpad

Pool = Callable[[Any], Any]
Over = Callable[..., Any]  # over(f, x, fill=0) applies the implementation f to all windows of x


def max_pool(
    window: Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
    pool: Callable[..., Array] = MAX_POOL,
) -> Pool:
    """The largest value of each window, from (batch, *space, channels).

    A window over one axis also takes a padded batch, and returns one with the windows that each
    row would have alone, without the padding.

    Args:
      window: the window's extent along each spatial axis.
      strides: the step of the window along each axis; the default is the window's extent.
      padding: "VALID" (none), "SAME", or (before, after) pairs; padding is never the maximum.
      dilation: the distance between the window's values along each axis.
      ceil_mode: whether a last window that is partly outside counts, if it starts inside the input
        or in the padding before it (as in PyTorch and ONNX).
      pool: the implementation; `jaxnets.lowering.plain_max_pool` is XLA's on every backend.

    Raises:
      LayerError: a size that is not a positive integer, or a window larger than the input.
    """

    def largest(x: Any, over: Over) -> Any:
        return over(pool, x, fill=lowest(unpad(x)[0].dtype))

    return _pool("max_pool", largest, window, strides, padding, dilation, ceil_mode)


def avg_pool(
    window: Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Pool:
    """The mean of each window, without padding values, from (batch, *space, channels).

    Arguments (except `pool`) and errors as for `max_pool`.
    """

    def mean(x: Any, over: Over) -> Any:
        if not isinstance(x, Padded):
            return over(lowering.avg_pool, x)
        values = as_float(x.values)
        wide = values.astype(wide_dtype(values.dtype))
        total = over(lowering.sum_pool, x._replace(values=wide))
        valid = over(lowering.sum_pool, x._replace(values=jnp.ones_like(wide[..., :1])))
        means = total.values / jnp.maximum(valid.values, 1)
        return total._replace(values=means.astype(values.dtype))

    return _pool("avg_pool", mean, window, strides, padding, dilation, ceil_mode)


def sum_pool(
    window: Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Pool:
    """The sum of each window, from (batch, *space, channels).

    Arguments (except `pool`) and errors as for `max_pool`.
    """

    def total(x: Any, over: Over) -> Any:
        return over(lowering.sum_pool, x)

    return _pool("sum_pool", total, window, strides, padding, dilation, ceil_mode)


def stochastic_pool(
    window: Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
    dilation: int | Sequence[int] = 1,
    ceil_mode: bool = False,
) -> Layer:
    """One random value of each window in training, with probability proportional to the value.

    Negative values count as 0, as after a ReLU, and a window of zeros gives 0. Evaluation is
    deterministic and returns the expected value. From (batch, *space, channels). Source: Zeiler &
    Fergus 2013, "Stochastic pooling for regularization of deep convolutional neural networks",
    equations 4 to 6.

    Arguments (except `pool`) and errors as for `max_pool`, and:

    Raises:
      LayerError: training without a key.
    """

    def taps(x: Any, over: Over) -> Any:
        return over(lowering.taps, x)

    values_by_tap = _pool("stochastic_pool", taps, window, strides, padding, dilation, ceil_mode)

    def init(key: Key, x: Any) -> tuple[Params, State]:
        del key, x
        return {}, {}

    def apply(
        params: Params, state: State, x: Array, *, key: Key | None = None, train: bool = False
    ) -> tuple[Array, State]:
        del params
        x = as_float(x)
        values = [jax.nn.relu(tap) for tap in values_by_tap(x.astype(wide_dtype(x.dtype)))]
        if train:
            y = _sample(require_key("stochastic_pool", key), values)
        else:
            total = _total(values)
            y = _total([a * (a / jnp.where(total > 0, total, 1)) for a in values])
        return y.astype(x.dtype), state

    return Layer(init, apply)


@plain
def global_max_pool(x: Array) -> Array:
    """The largest value over all spatial axes: (batch, *space, channels) to (batch, channels).

    Equal values share the gradient.

    Raises:
      LayerError: an image without pixels.
    """
    x = as_array(x)
    check_pixels("global_max_pool", x)
    return x.max(tuple(range(1, x.ndim - 1)))


@plain
def global_avg_pool(x: Array) -> Array:
    """The mean over all spatial axes: (batch, *space, channels) to (batch, channels).

    Raises:
      LayerError: an image without pixels.
    """
    x = as_float(x)
    check_pixels("global_avg_pool", x)
    return x.mean(tuple(range(1, x.ndim - 1)))


def _total(values: list[Array]) -> Array:
    return sum(values, start=jnp.zeros_like(values[0]))


def _sample(key: Key, values: list[Array]) -> Array:
    """One of the values, with probability proportional to it, by inverse-CDF sampling."""
    total = _total(values)
    threshold = total * jax.random.uniform(key, total.shape, total.dtype)
    y = cumulative = 0 * total  # NaN if a value is NaN or infinite, so that it propagates
    for a in values:
        y = jnp.where((cumulative <= threshold) & (threshold < cumulative + a), a, y)
        cumulative += a
    return y


def _pool(
    name: str,
    pool: Callable[[Any, Over], Any],
    window: Sequence[int],
    strides: int | Sequence[int] | None,
    padding: Padding,
    dilation: int | Sequence[int],
    ceil_mode: bool,
) -> Callable[[Any], Any]:
    if not (isinstance(window, Sequence) or np.ndim(window)):
        raise LayerError(f"{name} expects one size per axis, as in (2, 2), but got {window!r}")
    axes = len(window)
    strides = window if strides is None else strides
    window, strides, dilation = per_axis(
        name, axes, window=window, strides=strides, dilation=dilation
    )
    padding = as_padding(name, axes, padding)
    windows = Windows(lowering.dilated(window, dilation), strides, padding, ceil_mode)
    name = f"{name}({window})"

    def over(f: Callable[..., Any], x: Any, fill: Any = 0) -> Any:
        def pooled(values: Array, pairs: Pairs) -> Any:
            return f(values, window, strides, pairs, dilation)

        return over_windows(name, x, windows, pooled, fill)

    def apply(x: Any) -> Any:
        shape = image_of(name, axes, x).shape
        if len(shape) != axes + 2:
            raise LayerError(
                f"{name} expects (batch, ..., channels) with {axes} spatial axes, but got {shape}"
            )
        if 0 in shape[1:-1]:
            raise LayerError(f"{name} expects images of at least one pixel, got {shape}")
        x = x._replace(values=as_array(x.values)) if isinstance(x, Padded) else as_array(x)
        return pool(x, over)

    return apply
