"""Neural networks in JAX as pairs of pure functions, trained by compiled programs."""

from jaxnets import data, losses, metrics, training
from jaxnets.compose import network, scan_over_time, serial
from jaxnets.layer import Layer, LayerError
from jaxnets.layers import (
    avg_pool,
    batch_norm,
    conv,
    dense,
    dropout,
    embedding,
    flatten,
    global_avg_pool,
    layer_norm,
    max_pool,
    scale_pixels,
)

__all__ = [
    "Layer",
    "LayerError",
    "avg_pool",
    "batch_norm",
    "conv",
    "data",
    "dense",
    "dropout",
    "embedding",
    "flatten",
    "global_avg_pool",
    "layer_norm",
    "losses",
    "max_pool",
    "metrics",
    "network",
    "scale_pixels",
    "scan_over_time",
    "serial",
    "training",
]
