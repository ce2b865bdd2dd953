"""Convolution in one, two and three dimensions."""

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
from jaxnets.layers.checks import TimePadding, as_padding, as_tuple, get_array, per_axis
from jaxnets.layers.defaults import CONV, LECUN_NORMAL, ZEROS
from jaxnets.layers.images import (
    check_grouped_channels,
    check_groups,
    check_image,
    check_kernel_fits,
    check_rank,
    init_params,
)
from jaxnets.layers.windows import Pairs, Windows, image_of, over_windows
from jaxnets.padded import Padded


def conv(
    features: int,
    size: Sequence[int],
    *,
    strides: int | Sequence[int] = 1,
    padding: TimePadding = "SAME",
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    use_bias: bool = True,
    kernel_init: Initializer = LECUN_NORMAL,
    bias_init: Initializer = ZEROS,
    convolve: Callable[..., Array] = CONV,
) -> Layer:
    """Convolution with a learned kernel (without flipping it: cross-correlation).

    From (batch, width, channels) with `size` (w,), (batch, height, width, channels) with `size`
    (h, w), or (batch, depth, height, width, channels) with `size` (d, h, w). In one dimension it
    also takes a padded batch, and returns one with the steps that each row would have alone; a row
    shorter than the window has none. Params: `kernel`
    (*size, channels / groups, features) and, with `use_bias`, `bias` (features,). Computes in the
    kernel's dtype.

    Args:
      features: the number of kernels, which is the number of channels of the output.
      size: the kernel's extent along each spatial axis.
      strides: the step of the window along each axis; one integer applies to all axes.
      padding: "SAME" (output ceil(n / stride)), "VALID" (none), "CAUSAL" (along a single axis, all
        zeros before the first value, so that an output depends on no later input), or
        (before, after) zeros per axis.
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
    check_rank(name, size)
    features, groups = as_integers(name, error=LayerError, features=features, groups=groups)
    size, strides, dilation = per_axis(
        name, len(size), size=size, strides=strides, dilation=dilation
    )
    padding = as_padding(name, len(size), padding, causal=True)
    check_groups(name, features, groups)
    windows = Windows(lowering.dilated(size, dilation), strides, padding)

    def init(key: Key, x: Any) -> Params:
        image = image_of(name, len(size), x)
        check_image(name, len(size), image)
        check_grouped_channels(name, image, groups)
        shape = (*size, image.shape[-1] // groups, features)
        return init_params(key, shape, kernel_init, bias_init if use_bias else None, features)

    def apply(params: Params, x: Any) -> Any:
        kernel, image = get_array(name, params, "kernel"), readable(image_of(name, len(size), x))
        check_image(name, len(size), image)
        check_kernel_fits(name, image, kernel.shape[-2] * groups)

        def convolved(image: Array, pairs: Pairs) -> Array:
            image = jnp.asarray(image, kernel.dtype)
            y = convolve(image, kernel, strides, pairs, dilation, groups)
            return add_bias(y, get_array(name, params, "bias")) if use_bias else y

        return over_windows(name, x if isinstance(x, Padded) else image, windows, convolved)

    return stateless(init, apply)
