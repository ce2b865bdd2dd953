"""Pooling: plain functions, since they own nothing."""

from collections.abc import Callable, Sequence
from typing import Any

from jaxnets import lowering
from jaxnets.layer import Array, LayerError
from jaxnets.layers.checks import Padding, padding_form, per_axis

Pool = Callable[[Array], Array]


def max_pool(
    window: Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
    pool: Callable[..., Array] = lowering.max_pool,
) -> Pool:
    """The largest value of each window, from (batch, *space, channels).

    Args:
      window: the window's extent along each spatial axis.
      strides: the step of the window along each axis; by default the window itself.
      padding: "VALID" (none), "SAME", or (before, after) pairs; padding never wins.
      pool: how it is computed; `jaxnets.lowering.plain_max_pool` is XLA's way everywhere.

    Raises:
      LayerError: sizes that are no positive integers, or a window larger than the input.
    """
    return _pool("max_pool", pool, window, strides, padding)


def avg_pool(
    window: Sequence[int],
    *,
    strides: int | Sequence[int] | None = None,
    padding: Padding = "VALID",
) -> Pool:
    """The mean of each window, from (batch, *space, channels); padding does not count.

    Arguments and errors as for `max_pool`.
    """
    return _pool("avg_pool", lowering.avg_pool, window, strides, padding)


def global_avg_pool(x: Array) -> Array:
    """The mean over all spatial axes: (batch, *space, channels) to (batch, channels)."""
    return x.mean(tuple(range(1, x.ndim - 1)))


def _pool(
    name: str,
    pool: Callable[..., Array],
    window: Sequence[int],
    strides: int | Sequence[int] | None,
    padding: Padding,
) -> Pool:
    axes = len(tuple(window))
    strides = window if strides is None else strides
    window, strides = per_axis(name, axes, window=window, strides=strides)
    padding_form(name, axes, padding)
    name = f"{name}({window})"

    def apply(x: Any) -> Array:
        if x.ndim != axes + 2:
            raise LayerError(f"{name} expects (batch, {axes} axes, channels) but got {x.shape}")
        pairs = lowering.explicit_padding(name, x.shape[1:-1], window, strides, padding)
        return pool(x, window, strides, pairs)

    return apply
