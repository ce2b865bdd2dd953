"""Convolution in one and two dimensions."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer

from jaxnets import lowering
from jaxnets.checks import as_integers
from jaxnets.dtypes import readable
from jaxnets.errors import LayerError
from jaxnets.layer import Array, Key, Layer, Params, stateless
from jaxnets.layers.channels import add_bias
from jaxnets.layers.checks import Padding, as_padding, as_tuple, get_array, per_axis
from jaxnets.layers.defaults import (
    CONV,
    CONV_TRANSPOSE,
    LECUN_NORMAL,
    LECUN_NORMAL_TRANSPOSED,
    ZEROS,
)


def conv(
    features: int,
    size: Sequence[int],
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    use_bias: bool = True,
    kernel_init: Initializer = LECUN_NORMAL,
    bias_init: Initializer = ZEROS,
    convolve: Callable[..., Array] = CONV,
) -> Layer:
    """Convolution with a learned kernel (without flipping it: cross-correlation).

    From (batch, width, channels) with `size` (w,), or (batch, height, width, channels) with
    `size` (h, w). Params: `kernel` (*size, channels / groups, features) and, with `use_bias`,
    `bias` (features,). Computes in the kernel's dtype.

    Args:
      features: the number of kernels, which is the number of channels of the output.
      size: the kernel's extent along each spatial axis.
      strides: the step of the window along each axis; one integer applies to all axes.
      padding: "SAME" (output ceil(n / stride)), "VALID" (none), or (before, after) zeros per axis.
      dilation: the distance between the kernel's taps along each axis.
      groups: the number of groups that the channels of the input are split into; each group is
        convolved with features / groups kernels.
      use_bias: whether to add one number per feature.
      kernel_init: initialiser of the kernel.
      bias_init: initialiser of the bias.
      convolve: the implementation. The default depends on the backend, and has its own backward
        pass on CPU; `jaxnets.lowering.plain_conv` is XLA's on every backend.

    Raises:
      LayerError: sizes that are not positive integers, negative padding, groups that do not divide
        the channels, a kernel larger than the padded input, an image without pixels, or an input
        with the wrong rank or number of channels. A batch may be empty.
    """
    size = as_tuple(size)
    name = f"conv({features}, {size})"
    _check_rank(name, size)
    features, groups = as_integers(name, error=LayerError, features=features, groups=groups)
    size, strides, dilation = per_axis(
        name, len(size), size=size, strides=strides, dilation=dilation
    )
    padding = as_padding(name, len(size), padding)
    if features % groups:
        raise LayerError(f"{name} expects groups that divide {features} features, got {groups}")
    window = tuple((n - 1) * d + 1 for n, d in zip(size, dilation, strict=True))

    def init(key: Key, x: Any) -> Params:
        _check_image(name, len(size), x)
        channels = x.shape[-1]
        if channels % groups:
            raise LayerError(f"{name} expects channels in {groups} groups, but got {x.shape}")
        shape = (*size, channels // groups, features)
        return _init_params(key, shape, kernel_init, bias_init if use_bias else None, features)

    def apply(params: Params, x: Array) -> Array:
        kernel, x = get_array(name, params, "kernel"), readable(x)
        _check_image(name, len(size), x)
        _check_channels(name, x, kernel.shape[-2] * groups)
        pairs = lowering.explicit_padding(name, x.shape[1:-1], window, strides, padding)
        y = convolve(jnp.asarray(x, kernel.dtype), kernel, strides, pairs, dilation, groups)
        return add_bias(y, get_array(name, params, "bias")) if use_bias else y

    return stateless(init, apply)


def conv_transpose(
    features: int,
    size: Sequence[int],
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    use_bias: bool = True,
    kernel_init: Initializer = LECUN_NORMAL_TRANSPOSED,
    bias_init: Initializer = ZEROS,
    convolve: Callable[..., Array] = CONV_TRANSPOSE,
) -> Layer:
    """Transposed convolution: adds up one copy of the kernel per input value, scaled by the value.

    From (batch, *space, channels) to (batch, *out, features). Along each axis, out is n * stride
    with "SAME", else (n - 1) * stride + size - before - after: the size of the input that `conv`
    with these strides and padding maps to n. Params: `kernel` (*size, features, channels), which is
    the kernel of that `conv` from features to channels (as in Keras and in Linen's
    `ConvTranspose(transpose_kernel=True)`; PyTorch has its axes in another order), and, with
    `use_bias`, `bias` (features,). Computes in the kernel's dtype.
    Source: Zeiler et al. 2010, "Deconvolutional networks"; Dumoulin & Visin 2016, chapter 4.

    Args:
      features: the number of channels of the output.
      size: the kernel's extent along each of the one or two spatial axes.
      strides: the distance between the kernel's copies for adjacent input values, per axis.
      padding: that of the `conv` it transposes: "SAME", "VALID", or what to crop, as
        (before, after) per axis; a negative number appends zeros, to which the bias is added. Linen
        differs for "VALID" with a stride larger than the size, where it appends zeros, and for
        pairs, with which it pads the dilated input.
      use_bias: whether to add one number per feature.
      kernel_init: initialiser of the kernel.
      bias_init: initialiser of the bias.
      convolve: the implementation; `jaxnets.lowering.plain_conv_transpose` is XLA's on every
        backend.

    Raises:
      LayerError: sizes that are not positive integers, padding that crops the whole output, an
        image without pixels, or an input with the wrong rank or number of channels. A batch may be
        empty.
    """
    size = as_tuple(size)
    name = f"conv_transpose({features}, {size})"
    _check_rank(name, size)
    [features] = as_integers(name, error=LayerError, features=features)
    size, strides = per_axis(name, len(size), size=size, strides=strides)
    padding = as_padding(name, len(size), padding, negative=True)

    def init(key: Key, x: Any) -> Params:
        _check_image(name, len(size), x)
        shape = (*size, features, x.shape[-1])
        return _init_params(key, shape, kernel_init, bias_init if use_bias else None, features)

    def apply(params: Params, x: Array) -> Array:
        kernel, x = get_array(name, params, "kernel"), readable(x)
        _check_image(name, len(size), x)
        _check_channels(name, x, kernel.shape[-1])
        pairs, extent = _transposed_padding(name, x.shape[1:-1], size, strides, padding)
        y = convolve(jnp.asarray(x, kernel.dtype), kernel, extent, strides, pairs)
        return add_bias(y, get_array(name, params, "bias")) if use_bias else y

    return stateless(init, apply)


def _init_params(
    key: Key,
    shape: tuple[int, ...],
    kernel_init: Initializer,
    bias_init: Initializer | None,
    features: int,
) -> Params:
    kernel_key, bias_key = jax.random.split(key)
    params = {"kernel": kernel_init(kernel_key, shape, jnp.float32)}
    if bias_init is not None:
        params["bias"] = bias_init(bias_key, (features,), jnp.float32)
    return params


def _transposed_padding(
    name: str,
    extent: tuple[int, ...],
    size: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Padding,
) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
    """The padding, as pairs, and the spatial input shape of the `conv` that is transposed."""
    if padding == "SAME":
        out = tuple(n * s for n, s in zip(extent, strides, strict=True))
        return lowering.explicit_padding(name, out, size, strides, padding), out
    pairs = ((0, 0),) * len(size) if padding == "VALID" else tuple(padding)
    axes = zip(extent, strides, size, pairs, strict=True)
    out = tuple((n - 1) * s + k - sum(pair) for n, s, k, pair in axes)
    if min(out) < 1:
        raise LayerError(
            f"{name} expects padding that crops less than the whole output, but got {padding!r}, "
            f"which makes it {out}; pad less, or use a larger size or stride"
        )
    return pairs, out


def _check_rank(name: str, size: tuple[Any, ...]) -> None:
    if len(size) not in (1, 2):
        raise LayerError(f"{name} expects a size of 1 or 2 axes, as in (3, 3), but got {size}")


def _check_channels(name: str, x: Array, channels: int) -> None:
    if x.shape[-1] != channels:
        raise LayerError(
            f"{name} expects (..., {channels}) but got {x.shape}; move the channels to the last "
            f"axis, or call init with this input"
        )


def _check_image(name: str, axes: int, x: Any) -> None:
    """Raise for a wrong rank or an axis of length 0; only the batch may be empty."""
    if len(x.shape) != axes + 2:
        form = "(batch, width, channels)" if axes == 1 else "(batch, height, width, channels)"
        raise LayerError(f"{name} expects {form} but got {x.shape}; add or drop an axis")
    if 0 in x.shape[1:]:
        raise LayerError(f"{name} expects images of at least one pixel and channel, got {x.shape}")
