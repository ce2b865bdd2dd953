"""What convolutions share: their parameters, and the checks of their kernels and images."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer

from jaxnets.errors import LayerError
from jaxnets.layer import Array, Key, Params

SPACE = {1: "width", 2: "height, width", 3: "depth, height, width"}


def init_params(
    key: Key,
    shape: tuple[int, ...],
    kernel_init: Initializer,
    bias_init: Initializer | None,
    features: int,
) -> Params:
    """A kernel and, with `bias_init`, one bias per feature."""
    kernel_key, bias_key = jax.random.split(key)
    params = {"kernel": kernel_init(kernel_key, shape, jnp.float32)}
    if bias_init is not None:
        params["bias"] = bias_init(bias_key, (features,), jnp.float32)
    return params


def check_rank(name: str, size: tuple[Any, ...]) -> None:
    """Raise unless the kernel has 1 to 3 spatial axes."""
    if len(size) not in SPACE:
        raise LayerError(f"{name} expects a size of 1 to 3 axes, as in (3, 3), but got {size}")


def check_groups(name: str, features: int, groups: int) -> None:
    """Raise unless the groups divide the features."""
    if features % groups:
        raise LayerError(f"{name} expects groups that divide {features} features, got {groups}")


def check_grouped_channels(name: str, x: Any, groups: int) -> None:
    """Raise unless the groups divide the channels."""
    if x.shape[-1] % groups:
        raise LayerError(f"{name} expects channels in {groups} groups, but got {x.shape}")


def check_kernel_fits(name: str, x: Array, channels: int) -> None:
    """Raise unless the input has the channels of the kernel."""
    if x.shape[-1] != channels:
        raise LayerError(
            f"{name} expects (..., {channels}) but got {x.shape}; move the channels to the last "
            f"axis, or call init with this input"
        )


def check_image(name: str, axes: int, x: Any) -> None:
    """Raise for a wrong rank or an axis of length 0; only the batch may be empty."""
    if len(x.shape) != axes + 2:
        form = f"(batch, {SPACE[axes]}, channels)"
        cure = "add an axis"
        if len(x.shape) > axes + 2:
            size = (3,) * (len(x.shape) - 2)
            cure = f"pass one size per axis of the image, as in {size}, or drop an axis"
        raise LayerError(f"{name} expects {form} but got {x.shape}; {cure}")
    if 0 in x.shape[1:]:
        raise LayerError(f"{name} expects images of at least one pixel and channel, got {x.shape}")
