"""SqueezeNet."""

import jax.numpy as jnp
from jax.nn import relu
from jax.nn.initializers import he_normal, normal

from jaxnets.compose import network, serial
from jaxnets.layer import Layer
from jaxnets.layers import conv, dropout, global_avg_pool, max_pool


def squeezenet(classes: int = 1000) -> Layer:
    """SqueezeNet 1.0, from (batch, 227, 227, 3) to logits (batch, classes).

    1,248,424 parameters for 1000 classes. Fire modules squeeze the channels by 1x1 kernels and
    expand them by 1x1 and 3x3 kernels, side by side; the last convolution has a channel per class.
    Images may have any size from 29 pixels and any number of channels. Source: Iandola et al. 2016,
    "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters", table 1.
    """
    return serial(
        *_stem(96, 7),
        *[_fire(2, 16, 64), _fire(3, 16, 64), _fire(4, 32, 128), ("pool4", _pool())],
        *[_fire(5, 32, 128), _fire(6, 48, 192), _fire(7, 48, 192), _fire(8, 64, 256)],
        *[("pool8", _pool()), _fire(9, 64, 256), *_head(classes)],
    )


def squeezenet_1_1(classes: int = 1000) -> Layer:
    """SqueezeNet 1.1: 2.4 times less computation than `squeezenet`, by earlier pools.

    1,235,496 parameters for 1000 classes. Images may have any size from 25 pixels and any number of
    channels. Source: the authors' "SqueezeNet v1.1".
    """
    return serial(
        *_stem(64, 3),
        *[_fire(2, 16, 64), _fire(3, 16, 64), ("pool3", _pool())],
        *[_fire(4, 32, 128), _fire(5, 32, 128), ("pool5", _pool())],
        *[_fire(6, 48, 192), _fire(7, 48, 192), _fire(8, 64, 256), _fire(9, 64, 256)],
        *_head(classes),
    )


def _stem(features: int, size: int) -> list:
    layer = conv(features, (size, size), strides=2, padding="VALID", kernel_init=he_normal())
    return [("conv1", layer), ("relu1", relu), ("pool1", _pool())]


def _head(classes: int) -> list:
    last = conv(classes, (1, 1), kernel_init=normal(0.01))
    return [("drop9", dropout(0.5)), ("conv10", last), relu, ("head", global_avg_pool)]


def _pool():
    return max_pool((3, 3), strides=2, ceil_mode=True)


def _fire(number: int, squeezed: int, expanded: int) -> tuple[str, Layer]:
    @network(
        squeeze=conv(squeezed, (1, 1), kernel_init=he_normal()),
        expand1=conv(expanded, (1, 1), kernel_init=he_normal()),
        expand3=conv(expanded, (3, 3), kernel_init=he_normal()),
    )
    def fire(x, *, squeeze, expand1, expand3):
        s = relu(squeeze(x))
        return jnp.concatenate([relu(expand1(s)), relu(expand3(s))], axis=-1)

    return f"fire{number}", fire
