"""AlexNet, and its variant of one tower."""

from jax.nn import relu
from jax.nn.initializers import he_normal, normal

from jaxnets.compose import serial
from jaxnets.layer import Layer
from jaxnets.layers import conv, dense, dropout, flatten, local_response_norm, max_pool


def alexnet(classes: int = 1000) -> Layer:
    """AlexNet, from (batch, 227, 227, 3) to logits (batch, classes).

    60,965,224 parameters for 1000 classes: conv2, conv4 and conv5 have 2 groups, for the paper's
    two GPUs. Images may have any size from 67 pixels; the input of fc6 is 6 x 6 for 227 pixels.
    With pre- and postprocessing, these are the layers of MATLAB's `alexnet`, whose "output" layer
    is the loss, `losses.softmax_cross_entropy` of the logits:

        serial(("data", scale_pixels(mean)), ("alexnet", alexnet()), ("prob", jax.nn.softmax))

    Source: Krizhevsky, Sutskever & Hinton 2012, "ImageNet classification with deep convolutional
    neural networks". The paper's standard deviation of 0.01 for every kernel is for pixels in
    0..255: here convolutions are initialised as in He et al. 2015, and all biases with 0.
    """
    he, small = he_normal(), normal(0.01)
    norm, pool, drop = local_response_norm(), max_pool((3, 3), strides=2), dropout(0.5)
    conv1 = conv(96, (11, 11), strides=4, padding="VALID", kernel_init=he)
    conv2 = conv(256, (5, 5), groups=2, kernel_init=he)
    conv3 = conv(384, (3, 3), kernel_init=he)
    conv4 = conv(384, (3, 3), groups=2, kernel_init=he)
    conv5 = conv(256, (3, 3), groups=2, kernel_init=he)
    hidden, head = dense(4096, kernel_init=small), dense(classes, kernel_init=small)
    return serial(
        *[("conv1", conv1), ("relu1", relu), ("norm1", norm), ("pool1", pool)],
        *[("conv2", conv2), ("relu2", relu), ("norm2", norm), ("pool2", pool)],
        *[("conv3", conv3), ("relu3", relu), ("conv4", conv4), ("relu4", relu)],
        *[("conv5", conv5), ("relu5", relu), ("pool5", pool), flatten],
        *[("fc6", hidden), ("relu6", relu), ("drop6", drop)],
        *[("fc7", hidden), ("relu7", relu), ("drop7", drop), ("fc8", head)],
    )


def alexnet_one_tower(classes: int = 1000) -> Layer:
    """AlexNet for one device, from (batch, 224, 224, 3) to logits (batch, classes).

    61,100,840 parameters for 1000 classes: fewer kernels than `alexnet`, no groups and no local
    response norm. Images may have any size from 63 pixels; the input of fc6 is 6 x 6 for 224
    pixels. This is torchvision's `alexnet`, whose weights `interop.torch.load` takes. Source:
    Krizhevsky 2014, "One weird trick for parallelizing convolutional neural networks".
    """
    he, small, pool = he_normal(), normal(0.01), max_pool((3, 3), strides=2)
    first = conv(64, (11, 11), strides=4, padding=((2, 2), (2, 2)), kernel_init=he)
    hidden, head = dense(4096, kernel_init=small), dense(classes, kernel_init=small)
    return serial(
        *[("conv1", first), ("relu1", relu), ("pool1", pool)],
        *[("conv2", conv(192, (5, 5), kernel_init=he)), ("relu2", relu), ("pool2", pool)],
        *[("conv3", conv(384, (3, 3), kernel_init=he)), ("relu3", relu)],
        *[("conv4", conv(256, (3, 3), kernel_init=he)), ("relu4", relu)],
        *[("conv5", conv(256, (3, 3), kernel_init=he)), ("relu5", relu), ("pool5", pool), flatten],
        *[("drop6", dropout(0.5)), ("fc6", hidden), ("relu6", relu)],
        *[("drop7", dropout(0.5)), ("fc7", hidden), ("relu7", relu), ("fc8", head)],
    )
