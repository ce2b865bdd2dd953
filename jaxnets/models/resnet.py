"""Residual networks: He, Zhang, Ren & Sun 2016, "Deep residual learning for image recognition"."""

from collections.abc import Callable, Sequence
from functools import partial

import jax.numpy as jnp
from jax.nn import relu
from jax.nn.initializers import he_normal

from jaxnets.compose import network, serial
from jaxnets.layer import Array, Layer
from jaxnets.layers import batch_norm, conv, dense, global_avg_pool, max_pool

Block = Callable[[int, int], Layer]  # from features and stride
Shortcut = Callable[[int, int], Layer | Callable[[Array], Array]]


def resnet18(classes: int = 1000) -> Layer:
    """ResNet-18, from (batch, 224, 224, 3) to logits (batch, classes).

    11,689,512 parameters for 1000 classes and 9,600 running statistics. Images may have any size
    and number of channels. Source: the paper's table 1, with shortcuts of option B: a 1x1
    convolution if the shape changes, else the identity.
    """
    return _imagenet(_basic_block, (2, 2, 2, 2), classes)


def resnet50(classes: int = 1000) -> Layer:
    """ResNet-50, from (batch, 224, 224, 3) to logits (batch, classes).

    25,557,032 parameters for 1000 classes and 53,120 running statistics. Like `resnet18`, with
    bottleneck blocks. Their stride is in the 3x3 convolution, as in torchvision; in the paper it is
    in the 1x1 convolution before it.
    """
    return _imagenet(_bottleneck, (3, 4, 6, 3), classes)


def resnet20(classes: int = 10) -> Layer:
    """ResNet-20, from (batch, 32, 32, 3) to logits (batch, classes).

    269,722 parameters for 10 classes and 1,376 running statistics. Images may have any size and
    number of channels. Source: the paper's section 4.2, with shortcuts of option A, which have no
    parameters: they subsample by 2 and pad the channels with zeros.
    """
    block = partial(_basic_block, shortcut=_zero_padded)
    return serial(
        *[("conv1", _conv(16, 3)), ("norm1", _norm()), ("relu1", relu)],
        *_stages(block, (16, 32, 64), (3, 3, 3)),
        *[("pool", global_avg_pool), ("head", dense(classes))],
    )


def _imagenet(block: Block, depths: Sequence[int], classes: int) -> Layer:
    pool = max_pool((3, 3), strides=2, padding=((1, 1), (1, 1)))
    return serial(
        *[("conv1", _conv(64, 7, 2)), ("norm1", _norm()), ("relu1", relu), ("pool1", pool)],
        *_stages(block, (64, 128, 256, 512), depths),
        *[("pool", global_avg_pool), ("head", dense(classes))],
    )


def _stages(block: Block, widths: Sequence[int], depths: Sequence[int]) -> list[tuple[str, Layer]]:
    """Stages of blocks; every stage but the first starts with a stride of 2."""
    stages = []
    for number, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        strides = [1 if number == 1 else 2] + [1] * (depth - 1)
        blocks = [(f"block{n}", block(width, s)) for n, s in enumerate(strides, start=1)]
        stages.append((f"stage{number}", serial(*blocks)))
    return stages


def _projected(features: int, stride: int) -> Layer:
    """The shortcut of option B."""
    return serial(("conv", _conv(features, 1, stride)), ("norm", _norm()))


def _zero_padded(features: int, stride: int) -> Callable[[Array], Array]:
    """The shortcut of option A."""

    def pad(x: Array) -> Array:
        return jnp.pad(x[:, ::stride, ::stride], [(0, 0)] * 3 + [(0, features - x.shape[-1])])

    return pad


def _basic_block(features: int, stride: int, shortcut: Shortcut = _projected) -> Layer:
    @network(
        conv1=_conv(features, 3, stride),
        norm1=_norm(),
        conv2=_conv(features, 3),
        norm2=_norm(),
        shortcut=shortcut(features, stride),
    )
    def block(x, *, conv1, norm1, conv2, norm2, shortcut):
        y = relu(norm1(conv1(x)))
        y = norm2(conv2(y))
        return relu(y + (x if x.shape == y.shape else shortcut(x)))

    return block


def _bottleneck(features: int, stride: int) -> Layer:
    @network(
        conv1=_conv(features, 1),
        norm1=_norm(),
        conv2=_conv(features, 3, stride),
        norm2=_norm(),
        conv3=_conv(4 * features, 1),
        norm3=_norm(),
        shortcut=_projected(4 * features, stride),
    )
    def block(x, *, conv1, norm1, conv2, norm2, conv3, norm3, shortcut):
        y = relu(norm1(conv1(x)))
        y = relu(norm2(conv2(y)))
        y = norm3(conv3(y))
        return relu(y + (x if x.shape == y.shape else shortcut(x)))

    return block


def _conv(features: int, size: int, stride: int = 1) -> Layer:
    """Symmetrically padded; with a stride of 2, "SAME" would pad less before than after."""
    pad = (size // 2, size // 2)
    return conv(
        features,
        (size, size),
        strides=stride,
        padding=(pad, pad),
        use_bias=False,
        kernel_init=he_normal(),
    )


def _norm() -> Layer:
    return batch_norm(decay=0.9)
