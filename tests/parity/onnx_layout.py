"""Our layers on ONNX's arrays, whose second axis is the channels."""

from functools import partial

import jax
import numpy as np


def channels_last(x):
    return np.moveaxis(x, 1, -1)


def channels_first(y):
    return np.moveaxis(y, -1, 1)


def run(layer, params, x, *, state=None, **options):
    """The output and the state of a layer, compiled."""
    return jax.jit(partial(layer.apply, **options))(params, state or {}, x)
