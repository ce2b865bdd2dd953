"""What runs a function for every member of a population, and what a population is."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxnets.layer import Key
from jaxnets.training.arguments import RunError
from jaxnets.training.course import Strategy
from jaxnets.training.update import Hyper

# The CPU compiler of jaxlib 0.10 takes the wrong rows where labels that all members share meet more
# rows of outputs than these, and says nothing; that of 0.12 does not.
ROWS_AT_ONCE = 2**15


def over_members(f: Callable[..., Any], strategy: Strategy, rows: int = 1) -> Callable[..., Any]:
    """`f(member, shared)` for every member: all at once ("vmap") or one after another ("map").

    Args:
      f: a function of one member's arguments, a pytree, and of what all members share.
      strategy: which of the two.
      rows: how many examples each member computes at once; on a CPU, "vmap" goes by groups of
        members that have at most `ROWS_AT_ONCE` together.

    Returns:
      A function of the members' arguments, each leaf with the leading axis N, and the shared ones.
    """
    at_once = max(1, ROWS_AT_ONCE // rows) if jax.default_backend() == "cpu" else None

    def each(members: Any, shared: Any) -> Any:
        n = len(jax.tree.leaves(members)[0])
        if strategy == "vmap" and (at_once is None or n <= at_once):
            return jax.vmap(f, in_axes=(0, None))(members, shared)
        size = at_once if strategy == "vmap" else None
        return jax.lax.map(lambda member: f(member, shared), members, batch_size=size)

    return each


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
