"""Layers, and plain functions to use between them."""

from jaxnets.layers.activation import heaviside, prelu
from jaxnets.layers.attention import attention, dot_product_attention
from jaxnets.layers.conv import conv, conv_transpose
from jaxnets.layers.dense import dense
from jaxnets.layers.dropout import dropout
from jaxnets.layers.embedding import bag_of_words, embedding
from jaxnets.layers.noise import gaussian_noise
from jaxnets.layers.norm import batch_norm, group_norm, layer_norm, local_response_norm
from jaxnets.layers.pooling import avg_pool, global_avg_pool, max_pool, stochastic_pool, sum_pool
from jaxnets.layers.position import learned_positions, sinusoidal_positions
from jaxnets.layers.reshape import flatten, scale_pixels
from jaxnets.layers.separable import depthwise_conv, separable_conv

__all__ = [
    "attention",
    "avg_pool",
    "bag_of_words",
    "batch_norm",
    "conv",
    "conv_transpose",
    "dense",
    "depthwise_conv",
    "dot_product_attention",
    "dropout",
    "embedding",
    "flatten",
    "gaussian_noise",
    "global_avg_pool",
    "group_norm",
    "heaviside",
    "layer_norm",
    "learned_positions",
    "local_response_norm",
    "max_pool",
    "prelu",
    "scale_pixels",
    "separable_conv",
    "sinusoidal_positions",
    "stochastic_pool",
    "sum_pool",
]
