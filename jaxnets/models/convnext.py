"""ConvNeXt."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn.initializers import truncated_normal

from jaxnets.compose import network, serial
from jaxnets.dtypes import wide_dtype
from jaxnets.layer import Array, Key, Layer, Params, stateless
from jaxnets.layers import (
    conv,
    dense,
    depthwise_conv,
    global_avg_pool,
    layer_norm,
    stochastic_depth,
)

SMALL = truncated_normal(0.02)


def convnext(
    classes: int = 1000,
    depths: Sequence[int] = (3, 3, 9, 3),
    widths: Sequence[int] = (96, 192, 384, 768),
    *,
    patch: int = 4,
    rate: float | Array = 0.1,
) -> Layer:
    """ConvNeXt, by default ConvNeXt-T, from (batch, 224, 224, 3) to logits (batch, classes).

    28,589,128 parameters for 1000 classes. Images may have any number of channels, and any size
    from `patch` * 2^(stages - 1) pixels. Source: Liu et al. 2022, "A ConvNet for the 2020s",
    figure 4 and table 9.

    Args:
      classes: the number of classes.
      depths: the number of blocks of each stage.
      widths: the number of channels of each stage.
      patch: the size and the stride of the first convolution.
      rate: the probability that training skips the last block; it grows linearly from 0 at the
        first. It may be traced, as a hyperparameter.
    """
    stages, total, number = [], max(1, sum(depths) - 1), 0
    for position, (depth, width) in enumerate(zip(depths, widths, strict=True), start=1):
        down = [("norm", layer_norm()), ("down", _patches(width, 2))]
        blocks = down if position > 1 else []
        for n in range(1, depth + 1):
            blocks.append((f"block{n}", _block(width, rate * number / total)))
            number += 1
        stages.append((f"stage{position}", serial(*blocks)))
    return serial(
        *[("stem", _patches(widths[0], patch)), ("norm1", layer_norm()), *stages],
        *[("pool", global_avg_pool), ("norm2", layer_norm())],
        ("head", dense(classes, kernel_init=SMALL)),
    )


def _patches(width: int, size: int) -> Layer:
    """A convolution of patches that do not overlap."""
    return conv(width, (size, size), strides=size, padding="VALID", kernel_init=SMALL)


def _block(width: int, rate: float | Array) -> Layer:
    """A residual block: a 7x7 depthwise convolution, then an MLP of four times the width."""

    @network(
        depthwise=depthwise_conv((7, 7), kernel_init=SMALL),
        norm=layer_norm(),
        expand=dense(4 * width, kernel_init=SMALL),
        project=dense(width, kernel_init=SMALL),
        scale=_layer_scale(),
        skip=stochastic_depth(rate),
    )
    def block(x, *, depthwise, norm, expand, project, scale, skip):
        y = jax.nn.gelu(expand(norm(depthwise(x))), approximate=False)
        return x + skip(scale(project(y)))

    return block


def _layer_scale(initial: float = 1e-6) -> Layer:
    """A learned factor per channel, so small at first that a block is its shortcut."""

    def init(key: Key, x: Any) -> Params:
        del key
        return {"scale": jnp.full(x.shape[-1:], initial, jnp.float32)}

    def apply(params: Params, x: Array) -> Array:
        factor = params["scale"].astype(wide_dtype(x.dtype))
        return (x * factor.reshape((1,) * (x.ndim - 1) + factor.shape)).astype(x.dtype)

    return stateless(init, apply)
