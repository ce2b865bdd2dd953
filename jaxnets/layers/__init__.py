"""Layers and the plain functions that go between them."""

from jaxnets.layers.activation import prelu, step
from jaxnets.layers.conv import conv
from jaxnets.layers.dense import dense
from jaxnets.layers.dropout import dropout
from jaxnets.layers.embedding import embedding
from jaxnets.layers.norm import batch_norm, layer_norm
from jaxnets.layers.pooling import avg_pool, global_avg_pool, max_pool
from jaxnets.layers.reshape import flatten, scale_pixels

__all__ = [
    "avg_pool",
    "batch_norm",
    "conv",
    "dense",
    "dropout",
    "embedding",
    "flatten",
    "global_avg_pool",
    "layer_norm",
    "max_pool",
    "prelu",
    "scale_pixels",
    "step",
]
