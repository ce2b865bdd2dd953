"""Convolution in one and two dimensions."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer, lecun_normal, zeros

from jaxnets import lowering
from jaxnets.layer import Array, Key, Layer, LayerError, Params, State
from jaxnets.layers.channels import per_channel
from jaxnets.layers.checks import Padding, own, padding_form, per_axis, positive


def conv(
    features: int,
    size: Sequence[int],
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    use_bias: bool = True,
    kernel_init: Initializer = lecun_normal(),
    bias_init: Initializer = zeros,
    convolve: Callable[..., Array] = lowering.conv,
) -> Layer:
    """Cross-correlation with a learned kernel, as deep learning says convolution.

    From (batch, width, channels) with `size` (w,), or (batch, height, width, channels) with
    `size` (h, w). Params: `kernel` (*size, channels / groups, features) and, with `use_bias`,
    `bias` (features,). Computes in the kernel's dtype.

    Args:
      features: how many kernels, the channels of the output.
      size: the kernel's extent along each spatial axis.
      strides: the step of the window along each axis; one integer stands for all.
      padding: "SAME" (output ceil(n / stride)), "VALID" (none), or (before, after) an axis.
      dilation: the distance between the kernel's taps along each axis.
      groups: the input's channels fall into so many groups, each seen by features / groups kernels.
      use_bias: whether to add one number a feature.
      kernel_init: initialiser of the kernel.
      bias_init: initialiser of the bias.
      convolve: how it is computed. The default picks by backend, with a backward pass of its own
        on CPU; `jaxnets.lowering.plain_conv` is XLA's, the same everywhere.

    Raises:
      LayerError: sizes that are not positive integers, groups that do not divide the channels, a
        kernel larger than the padded input, or an input of another rank or channel count.
    """
    size = tuple(size) if isinstance(size, Sequence) else (size,)
    name = f"conv({features}, {size})"
    if len(size) not in (1, 2):
        raise LayerError(f"conv expects a size of 1 or 2 axes, as in (3, 3), but got {size}")
    positive(name, features=features, groups=groups)
    size, strides, dilation = per_axis(
        name, len(size), size=size, strides=strides, dilation=dilation
    )
    padding_form(name, len(size), padding)
    if features % groups:
        raise LayerError(f"{name} expects groups that divide {features} features, got {groups}")

    def init(key: Key, x: Any) -> tuple[Params, State]:
        _expect_rank(name, len(size), x)
        channels = x.shape[-1]
        if channels % groups:
            raise LayerError(f"{name} expects channels in {groups} groups, but got {x.shape}")
        kernel_key, bias_key = jax.random.split(key)
        shape = (*size, channels // groups, features)
        params = {"kernel": kernel_init(kernel_key, shape, jnp.float32)}
        if use_bias:
            params["bias"] = bias_init(bias_key, (features,), jnp.float32)
        return params, {}

    def apply(
        params: Params, state: State, x: Array, *, key: Key | None = None, train: bool = False
    ) -> tuple[Array, State]:
        del key, train
        kernel = own(name, params, "kernel")
        _expect_rank(name, len(size), x)
        if x.shape[-1] != kernel.shape[-2] * groups:
            raise LayerError(
                f"{name} expects (..., {kernel.shape[-2] * groups}) but got {x.shape}; images are "
                f"channels last; or init again with this input"
            )
        y = convolve(x.astype(kernel.dtype), kernel, strides, explicit(x), dilation, groups)
        return (y + per_channel(params["bias"], y) if use_bias else y), state

    def explicit(x: Array) -> tuple[tuple[int, int], ...]:
        extent = tuple((n - 1) * d + 1 for n, d in zip(size, dilation, strict=True))
        return lowering.explicit_padding(name, x.shape[1:-1], extent, strides, padding)

    return Layer(init, apply)


def _expect_rank(name: str, axes: int, x: Any) -> None:
    if len(x.shape) != axes + 2:
        form = "(batch, width, channels)" if axes == 1 else "(batch, height, width, channels)"
        raise LayerError(f"{name} expects {form} but got {x.shape}; add or drop an axis")
