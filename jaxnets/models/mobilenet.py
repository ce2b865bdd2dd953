"""Networks of inverted residuals for small devices: MobileNetV2 and EfficientNet-lite0."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jax.nn import relu6
from jax.nn.initializers import he_normal

from jaxnets.compose import network, serial
from jaxnets.layer import Layer
from jaxnets.layers import (
    batch_norm,
    conv,
    dense,
    depthwise_conv,
    dropout,
    global_avg_pool,
    stochastic_depth,
)
from jaxnets.layers.checks import Padding


class Stage(NamedTuple):
    """Blocks of one width: a row of the papers' tables; the stride is that of the first block."""

    expansion: int
    features: int
    depth: int
    stride: int
    size: int = 3


MOBILENET_V2 = (
    *(Stage(1, 16, 1, 1), Stage(6, 24, 2, 2), Stage(6, 32, 3, 2), Stage(6, 64, 4, 2)),
    *(Stage(6, 96, 3, 1), Stage(6, 160, 3, 2), Stage(6, 320, 1, 1)),
)
EFFICIENTNET_LITE0 = (
    *(Stage(1, 16, 1, 1), Stage(6, 24, 2, 2), Stage(6, 40, 2, 2, 5), Stage(6, 80, 3, 2)),
    *(Stage(6, 112, 3, 1, 5), Stage(6, 192, 4, 2, 5), Stage(6, 320, 1, 1)),
)


def mobilenet_v2(classes: int = 1000, *, symmetric: bool = False) -> Layer:
    """MobileNetV2, from (batch, 224, 224, 3) to logits (batch, classes).

    3,504,872 parameters for 1000 classes and 34,112 running statistics. Images may have any size
    and number of channels. Source: Sandler, Howard, Zhu, Zhmoginov & Chen 2018, "MobileNetV2:
    Inverted residuals and linear bottlenecks", table 2.

    Args:
      classes: the number of classes.
      symmetric: pad strided convolutions by one pixel on each side, as in torchvision, for its
        weights. By default they are padded as in TensorFlow, more after than before.
    """
    return _network(MOBILENET_V2, classes, padding=((1, 1), (1, 1)) if symmetric else "SAME")


def efficientnet_lite0(classes: int = 1000) -> Layer:
    """EfficientNet-lite0, from (batch, 224, 224, 3) to logits (batch, classes).

    4,652,008 parameters for 1000 classes and 42,016 running statistics. Like `mobilenet_v2`, with
    the stages of EfficientNet-B0, and blocks skipped in training with a probability that grows
    towards 20 %. Source: Tan & Le 2019, "EfficientNet", table 1, without squeeze-and-excitation and
    with ReLU6, as in the authors' "EfficientNet-lite".
    """
    return _network(EFFICIENTNET_LITE0, classes, skipped=0.2)


def _network(
    stages: Sequence[Stage], classes: int, skipped: float = 0.0, padding: Padding = "SAME"
) -> Layer:
    """Blocks are skipped with a probability that grows linearly from 0 towards `skipped`."""
    parts, channels, number = [], 32, 0
    total = sum(stage.depth for stage in stages)
    for position, stage in enumerate(stages, start=1):
        blocks = []
        for n in range(1, stage.depth + 1):
            stride, rate = (stage.stride if n == 1 else 1), skipped * number / total
            blocks.append((f"block{n}", _inverted_residual(channels, stage, stride, rate, padding)))
            channels, number = stage.features, number + 1
        parts.append((f"stage{position}", serial(*blocks)))
    return serial(
        *[("stem", _normed(conv, 32, (3, 3), strides=2, padding=padding)), relu6, *parts],
        *[("last", _normed(conv, 1280, (1, 1))), relu6, ("pool", global_avg_pool)],
        *[("drop", dropout(0.2)), ("head", dense(classes))],
    )


def _inverted_residual(
    channels: int, stage: Stage, stride: int, rate: float, padding: Padding
) -> Layer:
    """A wide depthwise convolution between narrow ones, with a shortcut if the shape stays."""
    size = (stage.size, stage.size)
    wide = [("expand", _normed(conv, stage.expansion * channels, (1, 1))), relu6]
    branch = serial(
        *(wide if stage.expansion > 1 else ()),
        *[("depthwise", _normed(depthwise_conv, size, strides=stride, padding=padding)), relu6],
        ("project", _normed(conv, stage.features, (1, 1))),
    )
    if stride > 1 or channels != stage.features:
        return branch

    @network(branch=branch, skip=stochastic_depth(rate))
    def block(x, *, branch, skip):
        return x + skip(branch(x))

    return block


def _normed(make: Callable[..., Layer], *sizes: Any, **options: Any) -> Layer:
    """A convolution without a bias, then batch norm."""
    layer = make(*sizes, **options, use_bias=False, kernel_init=he_normal())
    return serial(("conv", layer), ("norm", batch_norm()))
