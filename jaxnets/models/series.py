"""Convolutional networks for time series: Wang, Yan & Oates 2017.

"Time series classification from scratch with deep neural networks: a strong baseline", figure 1.
"""

from jax.nn import relu

from jaxnets.compose import network, serial
from jaxnets.layer import Layer
from jaxnets.layers import batch_norm, conv, dense, global_avg_pool

SIZES = (8, 5, 3)  # of the three convolutions in a row, in values along time


def fcn(
    classes: int = 2,
    widths: tuple[int, int, int] = (128, 256, 128),
    sizes: tuple[int, int, int] = SIZES,
) -> Layer:
    """The paper's fully convolutional network, from (batch, time, channels) to logits.

    Convolutions of 8, 5 and 3 values (`sizes`), each with batch norm and ReLU; the mean over time;
    and a dense layer: 264,450 parameters for 1 channel and 2 classes, and 1,024 running statistics.
    The paper's convolutions also have 512 biases, which the batch norm after them cancels. Series
    may have any length and number of channels. The class activation map along time is
    `inspect.class_activation(..., path="relu3")`.
    """
    stages = []
    for number, (features, size) in enumerate(zip(widths, sizes, strict=True), start=1):
        stages += [
            (f"conv{number}", _conv(features, size)),
            (f"norm{number}", _norm()),
            (f"relu{number}", relu),
        ]
    return serial(*stages, ("pool", global_avg_pool), ("head", dense(classes)))


def resnet1d(classes: int = 2, widths: tuple[int, int, int] = (64, 128, 128)) -> Layer:
    """The paper's residual network, from (batch, time, channels) to logits.

    Three blocks of three convolutions of 8, 5 and 3 values, each with batch norm, with a shortcut
    that is a convolution of 1 value and batch norm, or batch norm alone if the number of channels
    does not change; the mean over time; and a dense layer: 503,106 parameters for 1 channel and 2
    classes, and 2,560 running statistics. Otherwise as `fcn`.
    """
    blocks, channels = [], None
    for number, features in enumerate(widths, start=1):
        blocks.append((f"block{number}", _block(features, project=features != channels)))
        channels = features
    return serial(*blocks, ("pool", global_avg_pool), ("head", dense(classes)))


def _block(features: int, project: bool) -> Layer:
    shortcut = ("conv", _conv(features, 1)), ("norm", _norm())

    @network(
        conv1=_conv(features, SIZES[0]),
        norm1=_norm(),
        conv2=_conv(features, SIZES[1]),
        norm2=_norm(),
        conv3=_conv(features, SIZES[2]),
        norm3=_norm(),
        shortcut=serial(*shortcut) if project else serial(*shortcut[1:]),
    )
    def block(x, *, conv1, norm1, conv2, norm2, conv3, norm3, shortcut):
        y = relu(norm1(conv1(x)))
        y = relu(norm2(conv2(y)))
        return relu(norm3(conv3(y)) + shortcut(x))

    return block


def _conv(features: int, size: int) -> Layer:
    return conv(features, (size,), use_bias=False)


def _norm() -> Layer:
    return batch_norm(decay=0.9)
