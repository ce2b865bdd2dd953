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
from jaxnets.layers.checks import Padding, as_tuple, own, padding_form, per_axis
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
    """Cross-correlation with a learned kernel, as deep learning says convolution.

    From (batch, width, channels) with `size` (w,), or (batch, height, width, channels) with
    `size` (h, w). Params: `kernel` (*size, channels / groups, features) and, with `use_bias`,
    `bias` (features,). Computes in the kernel's dtype.

    Args:
      features: how many kernels, the channels of the output.
      size: the kernel's extent along each spatial axis.
      strides: the step of the window along each axis; one integer stands for all.
      padding: "SAME" (output ceil(n / stride)), "VALID" (none), or (before, after) an axis, of
        zeros.
      dilation: the distance between the kernel's taps along each axis.
      groups: the input's channels fall into so many groups, each seen by features / groups kernels.
      use_bias: whether to add one number a feature.
      kernel_init: initialiser of the kernel.
      bias_init: initialiser of the bias.
      convolve: how it is computed. The default picks by backend, with a backward pass of its own
        on CPU; `jaxnets.lowering.plain_conv` is XLA's, the same everywhere.

    Raises:
      LayerError: sizes that are not positive integers, negative padding, groups that do not divide
        the channels, a kernel larger than the padded input, an image without pixels, or an input
        of another rank or channel count. A batch may be empty.
    """
    size = as_tuple(size)
    name = f"conv({features}, {size})"
    if len(size) not in (1, 2):
        raise LayerError(f"conv expects a size of 1 or 2 axes, as in (3, 3), but got {size}")
    features, groups = as_integers(name, error=LayerError, features=features, groups=groups)
    size, strides, dilation = per_axis(
        name, len(size), size=size, strides=strides, dilation=dilation
    )
    padding = padding_form(name, len(size), padding)
    if features % groups:
        raise LayerError(f"{name} expects groups that divide {features} features, got {groups}")

    def init(key: Key, x: Any) -> Params:
        _expect_image(name, len(size), x)
        channels = x.shape[-1]
        if channels % groups:
            raise LayerError(f"{name} expects channels in {groups} groups, but got {x.shape}")
        kernel_key, bias_key = jax.random.split(key)
        shape = (*size, channels // groups, features)
        params = {"kernel": kernel_init(kernel_key, shape, jnp.float32)}
        if use_bias:
            params["bias"] = bias_init(bias_key, (features,), jnp.float32)
        return params

    def apply(params: Params, x: Array) -> Array:
        kernel, x = own(name, params, "kernel"), readable(x)
        _expect_image(name, len(size), x)
        if x.shape[-1] != kernel.shape[-2] * groups:
            raise LayerError(
                f"{name} expects (..., {kernel.shape[-2] * groups}) but got {x.shape}; images are "
                f"channels last; or init again with this input"
            )
        y = convolve(jnp.asarray(x, kernel.dtype), kernel, strides, explicit(x), dilation, groups)
        return add_bias(y, own(name, params, "bias")) if use_bias else y

    def explicit(x: Array) -> tuple[tuple[int, int], ...]:
        extent = tuple((n - 1) * d + 1 for n, d in zip(size, dilation, strict=True))
        return lowering.explicit_padding(name, x.shape[1:-1], extent, strides, padding)

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
    """The transpose of `conv`: each value of the input lays down the kernel, scaled by itself.

    From (batch, *space, channels) to (batch, *out, features), where along each axis out is
    n * stride with "SAME", else (n - 1) * stride + size - before - after: the input that `conv`
    with these strides and padding maps to n. Params: `kernel` (*size, features, channels), the
    kernel of that `conv` from features to channels, which is how Keras and Linen's
    `ConvTranspose(transpose_kernel=True)` have it, and PyTorch with its axes in the other order;
    and, with `use_bias`, `bias` (features,). Computes in the kernel's dtype.
    Source: Zeiler et al. 2010, "Deconvolutional networks"; Dumoulin & Visin 2016, chapter 4.

    Args:
      features: the channels of the output.
      size: the kernel's extent along each spatial axis, of one or two.
      strides: the distance along each axis between neighbours' kernels.
      padding: that of the `conv` it transposes: "SAME", "VALID" or what to cut off, as
        (before, after) an axis; a negative number appends zeros, which get the bias alone. Linen
        differs where "VALID" meets a stride above the size (it appends zeros), and in pairs, which
        pad the spread input there.
      use_bias: whether to add one number a feature.
      kernel_init: initialiser of the kernel.
      bias_init: initialiser of the bias.
      convolve: how it is computed; `jaxnets.lowering.plain_conv_transpose` is XLA's way, the same
        everywhere.

    Raises:
      LayerError: sizes that are no positive integers, padding that leaves nothing, an image
        without pixels, or an input of another rank or channel count. A batch may be empty.
    """
    size = as_tuple(size)
    name = f"conv_transpose({features}, {size})"
    if len(size) not in (1, 2):
        raise LayerError(f"{name} expects a size of 1 or 2 axes, as in (3, 3), but got {size}")
    [features] = as_integers(name, error=LayerError, features=features)
    size, strides = per_axis(name, len(size), size=size, strides=strides)
    padding = padding_form(name, len(size), padding, negative=True)

    def init(key: Key, x: Any) -> Params:
        _expect_image(name, len(size), x)
        kernel_key, bias_key = jax.random.split(key)
        shape = (*size, features, x.shape[-1])
        params = {"kernel": kernel_init(kernel_key, shape, jnp.float32)}
        if use_bias:
            params["bias"] = bias_init(bias_key, (features,), jnp.float32)
        return params

    def apply(params: Params, x: Array) -> Array:
        kernel, x = own(name, params, "kernel"), readable(x)
        _expect_image(name, len(size), x)
        if x.shape[-1] != kernel.shape[-1]:
            raise LayerError(
                f"{name} expects (..., {kernel.shape[-1]}) but got {x.shape}; images are "
                f"channels last; or init again with this input"
            )
        pairs, extent = _transposed(name, x.shape[1:-1], size, strides, padding)
        y = convolve(jnp.asarray(x, kernel.dtype), kernel, extent, strides, pairs)
        return add_bias(y, own(name, params, "bias")) if use_bias else y

    return stateless(init, apply)


def _transposed(
    name: str,
    extent: tuple[int, ...],
    size: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Padding,
) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
    """The padding of the `conv` it transposes, as pairs, and the spatial axes of its input."""
    if padding == "SAME":
        out = tuple(n * s for n, s in zip(extent, strides, strict=True))
        return lowering.explicit_padding(name, out, size, strides, padding), out
    pairs = ((0, 0),) * len(size) if padding == "VALID" else tuple(padding)
    axes = zip(extent, strides, size, pairs, strict=True)
    out = tuple((n - 1) * s + k - sum(pair) for n, s, k, pair in axes)
    if min(out) < 1:
        raise LayerError(
            f"{name} expects padding that leaves something of {extent}, but got {padding!r}, "
            f"which leaves {out}; pad less, or use a larger size or stride"
        )
    return pairs, out


def _expect_image(name: str, axes: int, x: Any) -> None:
    """Refuse another rank, or an axis of nothing: only a batch may be empty."""
    if len(x.shape) != axes + 2:
        form = "(batch, width, channels)" if axes == 1 else "(batch, height, width, channels)"
        raise LayerError(f"{name} expects {form} but got {x.shape}; add or drop an axis")
    if 0 in x.shape[1:]:
        raise LayerError(f"{name} expects images of at least one pixel and channel, got {x.shape}")
