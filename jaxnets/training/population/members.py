"""What runs a function for every member of a population, and what a population is."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np

from jaxnets.layer import Key
from jaxnets.training.check import RunError
from jaxnets.training.update import Hyper

Strategy = Literal["vmap", "map"]


def over_members(f: Callable[..., Any], strategy: Strategy) -> Callable[..., Any]:
    """`f(member, shared)` for every member: all at once ("vmap") or one after another ("map").

    Args:
      f: a function of one member's arguments, a pytree, and of what all members share.
      strategy: which of the two.

    Returns:
      A function of the members' arguments, each leaf with the leading axis N, and the shared ones.
    """
    if strategy == "vmap":
        return jax.vmap(f, in_axes=(0, None))
    return lambda members, shared: jax.lax.map(lambda member: f(member, shared), members)


def count_members(keys: Key, hypers: Hyper) -> int:
    """N, the length of the leading axis that all keys and hyperparameters share.

    Raises:
      RunError: there are no members, or the axes differ; names each hyperparameter's.
    """
    shapes = {"keys": np.shape(keys)} | {
        f"hypers{jax.tree_util.keystr(path)}": np.shape(leaf)
        for path, leaf in jax.tree.leaves_with_path(hypers)
    }
    lengths = {name: shape[0] if shape else None for name, shape in shapes.items()}
    if len(set(lengths.values())) > 1 or None in lengths.values():
        found = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise RunError(
            "a population expects one leading axis, an entry a member, on its keys and on every "
            f"hyperparameter, but got the shapes {found}; jax.random.split(key, n) makes n keys, "
            "jnp.full(n, value) gives all members one value"
        )
    if not lengths["keys"]:
        raise RunError("a population expects at least one member, but got none")
    return lengths["keys"]
