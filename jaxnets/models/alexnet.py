"""AlexNet."""

from jax.nn import relu
from jax.nn.initializers import he_normal, normal

from jaxnets.compose import serial
from jaxnets.layer import Layer
from jaxnets.layers import conv, dense, dropout, flatten, local_response_norm, max_pool


def alexnet(classes: int = 1000) -> Layer:
    """AlexNet, from (batch, 227, 227, 3) to logits (batch, classes).

    60,965,224 parameters for 1000 classes: conv2, conv4 and conv5 are in 2 groups, which were two
    GPUs. Any size from 67 pixels on will do; fc6 takes what is left of it, 6 x 6 of 227 pixels.
    With what goes before and after by name, these are the layers of MATLAB's `alexnet`, whose
    "output" is the loss, `losses.softmax_cross_entropy` of the logits:

        serial(("data", scale_pixels(mean)), ("alexnet", alexnet()), ("prob", jax.nn.softmax))

    Source: Krizhevsky, Sutskever & Hinton 2012, "ImageNet classification with deep convolutional
    neural networks". The paper's standard deviation of 0.01 for every kernel suits pixels in
    0..255 alone: here convolutions start as in He et al. 2015, and all biases at 0.
    """
    he, little = he_normal(), normal(0.01)
    norm, pool, drop = local_response_norm(), max_pool((3, 3), strides=2), dropout(0.5)
    conv1 = conv(96, (11, 11), strides=4, padding="VALID", kernel_init=he)
    conv2 = conv(256, (5, 5), groups=2, kernel_init=he)
    conv3 = conv(384, (3, 3), kernel_init=he)
    conv4 = conv(384, (3, 3), groups=2, kernel_init=he)
    conv5 = conv(256, (3, 3), groups=2, kernel_init=he)
    fully, head = dense(4096, kernel_init=little), dense(classes, kernel_init=little)
    return serial(
        *[("conv1", conv1), ("relu1", relu), ("norm1", norm), ("pool1", pool)],
        *[("conv2", conv2), ("relu2", relu), ("norm2", norm), ("pool2", pool)],
        *[("conv3", conv3), ("relu3", relu), ("conv4", conv4), ("relu4", relu)],
        *[("conv5", conv5), ("relu5", relu), ("pool5", pool), flatten],
        *[("fc6", fully), ("relu6", relu), ("drop6", drop)],
        *[("fc7", fully), ("relu7", relu), ("drop7", drop), ("fc8", head)],
    )
