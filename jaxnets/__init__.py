"""Neural networks in JAX as pairs of pure functions, trained by compiled programs."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from jaxnets.compose import network, serial
from jaxnets.layer import Layer, LayerError
from jaxnets.layers import (
    avg_pool,
    batch_norm,
    conv,
    conv_transpose,
    dense,
    depthwise_conv,
    dropout,
    embedding,
    flatten,
    gaussian_noise,
    global_avg_pool,
    group_norm,
    layer_norm,
    local_response_norm,
    max_pool,
    prelu,
    scale_pixels,
    separable_conv,
    step,
    stochastic_pool,
    sum_pool,
)
from jaxnets.recurrence import scan_over_time

if TYPE_CHECKING:
    from jaxnets import data, losses, metrics, models, training

__all__ = [
    "Layer",
    "LayerError",
    "avg_pool",
    "batch_norm",
    "conv",
    "conv_transpose",
    "data",
    "dense",
    "depthwise_conv",
    "dropout",
    "embedding",
    "flatten",
    "gaussian_noise",
    "global_avg_pool",
    "group_norm",
    "layer_norm",
    "local_response_norm",
    "losses",
    "max_pool",
    "metrics",
    "models",
    "network",
    "prelu",
    "scale_pixels",
    "scan_over_time",
    "separable_conv",
    "serial",
    "step",
    "stochastic_pool",
    "sum_pool",
    "training",
]


def __getattr__(name: str) -> ModuleType:
    """The namespaces, each imported when it is first asked for."""
    if name in ("data", "losses", "metrics", "models", "training"):
        return import_module(f"jaxnets.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
