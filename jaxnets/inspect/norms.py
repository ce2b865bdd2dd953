"""Norms of a model's parameters or gradients."""

from typing import Any

import jax.numpy as jnp

from jaxnets.layer import Array
from jaxnets.trees import flatten_names


def layer_norms(tree: dict[str, Any]) -> dict[str, Array]:
    """The L2 norm of every leaf by its path, `{"fc1/kernel": ...}`, in the tree's order.

    The norms of a gradient show in which layer it vanishes or explodes. Computing them neither
    underflows nor overflows. May be traced.
    """
    return {path: norm(jnp.asarray(leaf)) for path, leaf in flatten_names(tree).items()}


def norm(leaf: Array) -> Array:
    """The L2 norm of an array, without underflow or overflow of the squares."""
    # Without scaling, the squares of a vanishing gradient would underflow to 0, and those of an
    # exploding one overflow.
    largest = jnp.abs(leaf).max()
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    return scale * jnp.sqrt(jnp.square(leaf / scale).sum())
