"""Norms of what a model holds, one a parameter: of its weights, or of their gradients."""

from typing import Any

import jax.numpy as jnp

from jaxnets.layer import Array
from jaxnets.trees import flatten_names


def layer_norms(tree: dict[str, Any]) -> dict[str, Array]:
    """The L2 norm of every leaf by its path, `{"fc1/kernel": ...}`, in the tree's order.

    Of a gradient it shows by layer whether it vanishes or explodes, and is right wherever the
    leaf's own entries are representable. It may be traced, as a part of a step.
    """
    return {path: _norm(jnp.asarray(leaf)) for path, leaf in flatten_names(tree).items()}


def _norm(leaf: Array) -> Array:
    # Squares of a vanishing gradient would be zeros, and those of an exploding one infinite.
    largest = jnp.abs(leaf).max()
    scale = jnp.where((largest > 0) & jnp.isfinite(largest), largest, 1)
    return scale * jnp.sqrt(jnp.square(leaf / scale).sum())
