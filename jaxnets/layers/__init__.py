"""Layers, and plain functions to use between them."""

from jaxnets.layers.activation import heaviside, prelu
from jaxnets.layers.attention import attention, dot_product_attention
from jaxnets.layers.conv import conv
from jaxnets.layers.conv_transpose import conv_transpose
from jaxnets.layers.dense import dense
from jaxnets.layers.dropout import dropout, stochastic_depth
from jaxnets.layers.embedding import bag_of_words, embedding
from jaxnets.layers.excitation import squeeze_and_excitation
from jaxnets.layers.kernel_norm import spectral_norm, weight_norm
from jaxnets.layers.noise import gaussian_noise
from jaxnets.layers.norm import (
    batch_norm,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    rms_norm,
)
from jaxnets.layers.pooling import (
    avg_pool,
    global_avg_pool,
    global_max_pool,
    max_pool,
    stochastic_pool,
    sum_pool,
)
from jaxnets.layers.position import learned_positions, sinusoidal_positions
from jaxnets.layers.recurrent import (
    bidirectional,
    each_step,
    gru,
    last_step,
    lstm,
    max_over_time,
    mean_over_time,
    simple_rnn,
)
from jaxnets.layers.reshape import flatten, scale_pixels
from jaxnets.layers.separable import depthwise_conv, separable_conv
from jaxnets.layers.upsampling import pixel_shuffle, upsample

__all__ = [
    "attention",
    "avg_pool",
    "bag_of_words",
    "batch_norm",
    "bidirectional",
    "conv",
    "conv_transpose",
    "dense",
    "depthwise_conv",
    "dot_product_attention",
    "dropout",
    "each_step",
    "embedding",
    "flatten",
    "gaussian_noise",
    "global_avg_pool",
    "global_max_pool",
    "group_norm",
    "gru",
    "heaviside",
    "instance_norm",
    "last_step",
    "layer_norm",
    "learned_positions",
    "local_response_norm",
    "lstm",
    "max_over_time",
    "max_pool",
    "mean_over_time",
    "pixel_shuffle",
    "prelu",
    "rms_norm",
    "scale_pixels",
    "separable_conv",
    "simple_rnn",
    "sinusoidal_positions",
    "spectral_norm",
    "squeeze_and_excitation",
    "stochastic_depth",
    "stochastic_pool",
    "sum_pool",
    "upsample",
    "weight_norm",
]
