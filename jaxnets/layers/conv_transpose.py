"""Transposed convolution in one, two and three dimensions."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax.nn.initializers import Initializer

from jaxnets import lowering
from jaxnets.checks import as_integers
from jaxnets.dtypes import readable
from jaxnets.errors import LayerError
from jaxnets.layer import Array, Key, Layer, Params, stateless
from jaxnets.layers.channels import add_bias
from jaxnets.layers.checks import Padding, as_padding, as_tuple, get_array, per_axis
from jaxnets.layers.defaults import CONV_TRANSPOSE, LECUN_NORMAL_TRANSPOSED, ZEROS
from jaxnets.layers.images import (
    check_grouped_channels,
    check_groups,
    check_image,
    check_kernel_fits,
    check_rank,
    init_params,
)


def conv_transpose(
    features: int,
    size: Sequence[int],
    *,
    strides: int | Sequence[int] = 1,
    padding: Padding = "SAME",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    use_bias: bool = True,
    kernel_init: Initializer = LECUN_NORMAL_TRANSPOSED,
    bias_init: Initializer = ZEROS,
    convolve: Callable[..., Array] = CONV_TRANSPOSE,
) -> Layer:
    """Transposed convolution: adds up one copy of the kernel per input value, scaled by the value.

    From (batch, *space, channels) to (batch, *out, features). Along each axis, out is n * stride
    with "SAME", else (n - 1) * stride + (size - 1) * dilation + 1 - before - after: the size of the
    input that `conv` with these arguments maps to n. Params: `kernel` (*size, features / groups,
    channels), which is the kernel of that `conv` from features to channels (as in Keras and in
    Linen's `ConvTranspose(transpose_kernel=True)`; PyTorch has its axes in another order), and,
    with `use_bias`, `bias` (features,). Computes in the kernel's dtype.
    Source: Zeiler et al. 2010, "Deconvolutional networks"; Dumoulin & Visin 2016, chapter 4.

    Args:
      features: the number of channels of the output.
      size: the kernel's extent along each of the one to three spatial axes.
      strides: the distance between the kernel's copies for adjacent input values, per axis.
      padding: that of the `conv` it transposes: "SAME", "VALID", or what to crop, as
        (before, after) per axis; a negative number appends zeros, to which the bias is added. Linen
        differs for "VALID" with a stride larger than the size, where it appends zeros, and for
        pairs, with which it pads the dilated input.
      dilation: the distance between the kernel's taps along each axis.
      groups: the number of groups that the channels of the input are split into; each group gives
        features / groups channels of the output.
      use_bias: whether to add one number per feature.
      kernel_init: initialiser of the kernel (*size, features, channels / groups), whose input axis
        is the last one: make it with `in_axis=-1, out_axis=-2`.
      bias_init: initialiser of the bias.
      convolve: the implementation; `jaxnets.lowering.plain_conv_transpose` is XLA's on every
        backend.

    Raises:
      LayerError: sizes that are not positive integers, padding that crops the whole output, groups
        that do not divide the features and the channels, an image without pixels, or an input with
        the wrong rank or number of channels. A batch may be empty.
    """
    size = as_tuple(size)
    name = f"conv_transpose({features}, {size})"
    check_rank(name, size)
    features, groups = as_integers(name, error=LayerError, features=features, groups=groups)
    size, strides, dilation = per_axis(
        name, len(size), size=size, strides=strides, dilation=dilation
    )
    padding = as_padding(name, len(size), padding, negative=True)
    check_groups(name, features, groups)
    window = lowering.dilated(size, dilation)

    def init(key: Key, x: Any) -> Params:
        check_image(name, len(size), x)
        check_grouped_channels(name, x, groups)
        shape = (*size, features, x.shape[-1] // groups)
        params = init_params(key, shape, kernel_init, bias_init if use_bias else None, features)
        return params | {"kernel": _side_by_side(params["kernel"], groups)}

    def apply(params: Params, x: Array) -> Array:
        kernel, x = get_array(name, params, "kernel"), readable(x)
        check_image(name, len(size), x)
        check_kernel_fits(name, x, kernel.shape[-1])
        pairs, extent = _transposed_padding(name, x.shape[1:-1], window, strides, padding)
        x = jnp.asarray(x, kernel.dtype)
        y = convolve(x, kernel, extent, strides, pairs, dilation, groups)
        return add_bias(y, get_array(name, params, "bias")) if use_bias else y

    return stateless(init, apply)


def _side_by_side(kernel: Array, groups: int) -> Array:
    """(*size, features, channels / groups) as (*size, features / groups, channels)."""
    if groups == 1:
        return kernel
    *size, features, channels = kernel.shape
    by_group = kernel.reshape(*size, groups, features // groups, channels)
    return jnp.moveaxis(by_group, -3, -2).reshape(*size, features // groups, groups * channels)


def _transposed_padding(
    name: str,
    extent: tuple[int, ...],
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Padding,
) -> tuple[tuple[tuple[int, int], ...], tuple[int, ...]]:
    """The padding, as pairs, and the spatial input shape of the `conv` that is transposed."""
    if padding == "SAME":
        out = tuple(n * s for n, s in zip(extent, strides, strict=True))
        return lowering.explicit_padding(name, out, window, strides, padding), out
    pairs = ((0, 0),) * len(window) if padding == "VALID" else tuple(padding)
    axes = zip(extent, strides, window, pairs, strict=True)
    out = tuple((n - 1) * s + k - sum(pair) for n, s, k, pair in axes)
    if min(out) < 1:
        raise LayerError(
            f"{name} expects padding that crops less than the whole output, but got {padding!r}, "
            f"which makes it {out}; pad less, or use a larger size or stride"
        )
    return pairs, out
