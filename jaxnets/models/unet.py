"""U-Net, for segmentation."""

from collections.abc import Sequence
from typing import Literal

import jax.numpy as jnp
from jax.nn import relu
from jax.nn.initializers import he_normal

from jaxnets.compose import network, serial
from jaxnets.layer import Array, Layer
from jaxnets.layers import conv, conv_transpose, dropout, max_pool

Padding = Literal["VALID", "SAME"]


def unet(
    classes: int = 2,
    widths: Sequence[int] = (64, 128, 256, 512, 1024),
    *,
    padding: Padding = "VALID",
) -> Layer:
    """U-Net, from (batch, 572, 572, 1) to logits per pixel (batch, 388, 388, classes).

    31,030,658 parameters for 2 classes and one channel. Each level convolves, pools, applies the
    next level at half the resolution, upsamples its output, and concatenates it with the cropped
    feature maps from before the pool. With "SAME" padding nothing is cropped, and the output has
    the size of the input, which must halve without remainder at each level. Source: Ronneberger,
    Fischer & Brox 2015, "U-Net: Convolutional networks for biomedical image segmentation", figure
    1.

    Args:
      classes: the number of classes of a pixel.
      widths: the number of kernels of each level, from the highest resolution down.
      padding: of the 3x3 convolutions; "VALID" is the paper's.
    """
    return serial(("level", _level(widths, padding)), ("head", conv(classes, (1, 1))))


def _level(widths: Sequence[int], padding: Padding) -> Layer:
    width, *lower = widths
    down = _convolutions(width, padding)
    if not lower:
        return serial(("down", down), ("drop", dropout(0.5)))

    @network(
        down=down,
        pool=max_pool((2, 2)),
        level=_level(lower, padding),
        up=conv_transpose(width, (2, 2), strides=2, kernel_init=he_normal(-1, -2)),
        merge=_convolutions(width, padding),
    )
    def joined(x, *, down, pool, level, up, merge):
        skip = down(x)
        y = relu(up(level(pool(skip))))
        return merge(jnp.concatenate([_cropped(skip, y.shape), y], axis=-1))

    return joined


def _convolutions(width: int, padding: Padding) -> Layer:
    def layer() -> Layer:
        return conv(width, (3, 3), padding=padding, kernel_init=he_normal())

    return serial(("conv1", layer()), relu, ("conv2", layer()), relu)


def _cropped(x: Array, shape: tuple[int, ...]) -> Array:
    """The centre of the images, with the height and width of `shape`."""
    (_, height, width, _), (_, h, w, _) = x.shape, shape
    top, left = (height - h) // 2, (width - w) // 2
    return x[:, top : top + h, left : left + w]
