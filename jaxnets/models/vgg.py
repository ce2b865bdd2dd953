"""VGG."""

from collections.abc import Sequence

from jax.nn import relu
from jax.nn.initializers import he_normal, normal

from jaxnets.compose import serial
from jaxnets.layer import Layer
from jaxnets.layers import conv, dense, dropout, flatten, max_pool


def vgg11(classes: int = 1000) -> Layer:
    """VGG-11, configuration A of the paper: 132,863,336 parameters for 1000 classes.

    Otherwise as `vgg16`.
    """
    return _vgg((1, 1, 2, 2, 2), classes)


def vgg16(classes: int = 1000) -> Layer:
    """VGG-16, from (batch, 224, 224, 3) to logits (batch, classes).

    138,357,544 parameters for 1000 classes. Five blocks of convolutions, each followed by a pool,
    then fc6, fc7 and fc8; conv3_2 is the second convolution of the third block. Images may have any
    size from 32 pixels; the input of fc6 is 7 x 7 for 224 pixels. Source: Simonyan & Zisserman
    2015, "Very deep convolutional networks for large-scale image recognition", configuration D.
    Convolutions are initialised as in He et al. 2015, which makes the paper's pretraining of a
    shallower network unnecessary, and dense kernels with a standard deviation of 0.01.
    """
    return _vgg((2, 2, 3, 3, 3), classes)


def _vgg(depths: Sequence[int], classes: int) -> Layer:
    he, small, stages = he_normal(), normal(0.01), []
    for block, (depth, features) in enumerate(
        zip(depths, (64, 128, 256, 512, 512), strict=True), start=1
    ):
        for number in range(1, depth + 1):
            layer = conv(features, (3, 3), kernel_init=he)
            stages += [(f"conv{block}_{number}", layer), (f"relu{block}_{number}", relu)]
        stages += [(f"pool{block}", max_pool((2, 2)))]
    hidden, head = dense(4096, kernel_init=small), dense(classes, kernel_init=small)
    drop = dropout(0.5)
    return serial(
        *[*stages, flatten],
        *[("fc6", hidden), ("relu6", relu), ("drop6", drop)],
        *[("fc7", hidden), ("relu7", relu), ("drop7", drop), ("fc8", head)],
    )
