"""Depthwise and depthwise separable convolution."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.nn.initializers import Initializer

from jaxnets.checks import as_integers
from jaxnets.errors import LayerError
from jaxnets.layer import Array, Key, Layer, Params, State, stateless
from jaxnets.layers.checks import TimePadding, as_tuple, get_array
from jaxnets.layers.conv import conv
from jaxnets.layers.defaults import CONV, LECUN_NORMAL, ZEROS
from jaxnets.padded import unpad


def depthwise_conv(
    size: Sequence[int],
    *,
    multiplier: int = 1,
    strides: int | Sequence[int] = 1,
    padding: TimePadding = "SAME",
    dilation: int | Sequence[int] = 1,
    use_bias: bool = True,
    kernel_init: Initializer = LECUN_NORMAL,
    bias_init: Initializer = ZEROS,
    convolve: Callable[..., Array] = CONV,
) -> Layer:
    """Depthwise convolution: `conv` with as many groups as the input has channels.

    From (batch, *space, channels) to (batch, *space, channels * multiplier); the outputs of a
    channel are adjacent. In one dimension it also takes a padded batch. Params: `kernel` (*size, 1,
    channels * multiplier) and, with `use_bias`, `bias` (channels * multiplier,). `multiplier` is
    the number of kernels per channel; all other arguments are those of `conv`. Source: Sifre 2014,
    "Rigid-motion scattering for image classification".

    Raises:
      LayerError: a multiplier that is not a positive integer, and as for `conv`.
    """
    [multiplier] = as_integers("depthwise_conv", error=LayerError, multiplier=multiplier)

    def conv_of(channels: int) -> Layer:
        return conv(
            channels * multiplier,
            size,
            strides=strides,
            padding=padding,
            dilation=dilation,
            groups=channels,
            use_bias=use_bias,
            kernel_init=kernel_init,
            bias_init=bias_init,
            convolve=convolve,
        )

    conv_of(channels=1)  # raises for invalid arguments at construction

    def init(key: Key, x: Any) -> tuple[Params, State]:
        return conv_of(math.prod(unpad(x)[0].shape[-1:])).init(key, x)

    def apply(
        params: Params, state: State, x: Array, *, key: Key | None = None, train: bool = False
    ) -> tuple[Array, State]:
        features = get_array("depthwise_conv", params, "kernel").shape[-1]
        return conv_of(features // multiplier).apply(params, state, x, key=key, train=train)

    return Layer(init, apply)


def separable_conv(
    features: int,
    size: Sequence[int],
    *,
    multiplier: int = 1,
    strides: int | Sequence[int] = 1,
    padding: TimePadding = "SAME",
    dilation: int | Sequence[int] = 1,
    use_bias: bool = True,
    kernel_init: Initializer = LECUN_NORMAL,
    bias_init: Initializer = ZEROS,
    convolve: Callable[..., Array] = CONV,
) -> Layer:
    """Depthwise separable convolution: a depthwise convolution, then a 1 x 1 convolution.

    From (batch, *space, channels) to (batch, *space, features). Params, as for `serial` of the two:
    `depthwise` with `kernel` (*size, 1, channels * multiplier), and `pointwise` with `kernel`
    (1, 1, channels * multiplier, features) and, with `use_bias`, `bias` (features,). `multiplier`,
    `strides`, `padding` and `dilation` apply to the depthwise convolution, the bias to the
    pointwise one, `kernel_init` and `convolve` to both. Source: Chollet 2017, "Xception".

    Raises:
      LayerError: as for `depthwise_conv` and `conv`.
    """
    depthwise = depthwise_conv(
        size,
        multiplier=multiplier,
        strides=strides,
        padding=padding,
        dilation=dilation,
        use_bias=False,
        kernel_init=kernel_init,
        convolve=convolve,
    )
    pointwise = conv(
        features,
        (1,) * len(as_tuple(size)),
        use_bias=use_bias,
        kernel_init=kernel_init,
        bias_init=bias_init,
        convolve=convolve,
    )

    def init(key: Key, x: Any) -> Params:
        depthwise_key, pointwise_key = jax.random.split(key)
        first, _ = depthwise.init(depthwise_key, x)
        middle = jax.eval_shape(lambda x: depthwise.apply(first, {}, x)[0], x)
        second, _ = pointwise.init(pointwise_key, middle)
        return {"depthwise": first, "pointwise": second}

    def apply(params: Params, x: Array) -> Array:
        y, _ = depthwise.apply(params.get("depthwise", {}), {}, x)
        y, _ = pointwise.apply(params.get("pointwise", {}), {}, y)
        return y

    return stateless(init, apply)
