"""A small convolutional network for small images."""

from collections.abc import Sequence

from jax.nn import relu

from jaxnets.compose import serial
from jaxnets.layer import Array, Layer
from jaxnets.layers import batch_norm, conv, dense, dropout, flatten, max_pool


def small_cnn(
    classes: int = 10,
    widths: Sequence[Sequence[int]] = ((32, 32), (64, 64), (128, 128)),
    *,
    rate: float | Array = 0.4,
) -> Layer:
    """A convolutional network from (batch, 28, 28, 1) to logits (batch, classes).

    Stages of 3x3 convolutions with batch norm and ReLU, each followed by a pool that halves the
    image; then dropout and a dense layer. 298,410 parameters for 10 classes, and 896 running
    statistics. Images need at least 2 pixels per side for each stage to halve: 8 for three stages.

    Args:
      classes: the number of classes.
      widths: for each stage, the number of kernels of each of its convolutions.
      rate: the dropout rate; it may be traced, as a hyperparameter.
    """
    stages = []
    for number, features in enumerate(widths, start=1):
        stages += [(f"stage{number}", _stage(features)), (f"pool{number}", max_pool((2, 2)))]
    return serial(*stages, flatten, ("drop", dropout(rate)), ("head", dense(classes)))


def _stage(widths: Sequence[int]) -> Layer:
    layers = []
    for number, features in enumerate(widths, start=1):
        layers += [
            (f"conv{number}", conv(features, (3, 3), use_bias=False)),
            (f"norm{number}", batch_norm()),
            (f"relu{number}", relu),
        ]
    return serial(*layers)
