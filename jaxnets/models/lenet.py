"""LeNet-5, and a LeNet with batch norm."""

import jax.numpy as jnp
from jax.nn import relu

from jaxnets.compose import serial
from jaxnets.layer import Layer
from jaxnets.layers import avg_pool, batch_norm, conv, dense, flatten, max_pool


def lenet5(classes: int = 10) -> Layer:
    """LeNet-5, from (batch, 28, 28, 1) to logits (batch, classes).

    61,706 parameters for 10 classes. Differs from the paper: the first convolution is padded, for
    28 instead of 32 pixels; every map of the second is connected to all six maps of the first;
    pools have no weights; and the last layer is affine. Images may have any size from 12 pixels,
    and any number of channels. Source: LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based
    learning applied to document recognition", section II.B.
    """
    return serial(
        *[("conv1", conv(6, (5, 5))), ("tanh1", jnp.tanh), ("pool1", avg_pool((2, 2)))],
        *[("conv2", conv(16, (5, 5), padding="VALID")), ("tanh2", jnp.tanh)],
        *[("pool2", avg_pool((2, 2))), flatten],
        *[("fc1", dense(120)), ("tanh3", jnp.tanh), ("fc2", dense(84)), ("tanh4", jnp.tanh)],
        ("head", dense(classes)),
    )


def lenet_batch_norm(classes: int = 10) -> Layer:
    """A LeNet with batch norm, from (batch, 28, 28, 1) to logits (batch, classes).

    Three 3x3 convolutions of 16, 32 and 64 kernels and two dense layers: 180,880 parameters and
    224 running statistics for 10 classes. Images may have any size from 4 pixels, and any number of
    channels. Source: the MATLAB Deep Learning Toolbox's example network for digits, including the
    decay of the running statistics.
    """
    norm, pool = batch_norm(decay=0.9), max_pool((2, 2))
    return serial(
        *[("conv1", conv(16, (3, 3))), ("norm1", norm), ("relu1", relu), ("pool1", pool)],
        *[("conv2", conv(32, (3, 3))), ("norm2", norm), ("relu2", relu), ("pool2", pool)],
        *[("conv3", conv(64, (3, 3))), ("norm3", norm), ("relu3", relu), flatten],
        *[("fc1", dense(50)), ("relu4", relu), ("head", dense(classes))],
    )
