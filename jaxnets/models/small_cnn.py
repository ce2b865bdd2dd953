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
    """A network of today for (batch, 28, 28, 1), to logits (batch, classes).

    Stages of 3x3 convolutions, each with batch norm and ReLU and each stage ended by a pool that
    halves the image; then dropout and one dense layer. 298,410 parameters for 10 classes, and
    896 running statistics. Every pool needs 2 pixels a side: 8 for three stages.

    Args:
      classes: how many.
      widths: for each stage, the kernels of each of its convolutions.
      rate: what dropout drops; it may be traced, as a hyperparameter of a run.
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
