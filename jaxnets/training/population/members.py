"""Counts the members of a population, and takes some of them by index."""

from typing import Any

import jax
import numpy as np

from jaxnets.errors import RunError
from jaxnets.layer import Key
from jaxnets.training.train_step import Hparams


def count_members(keys: Key, hparams: Hparams) -> int:
    """N, the length of the leading axis of the keys and of all hyperparameters.

    Raises:
      RunError: there are no members, or the axes differ; lists all shapes.
    """
    shapes: dict[str, Any] = {"keys": np.shape(keys)} | {
        f"hparams{jax.tree_util.keystr(path)}": np.shape(leaf)
        for path, leaf in jax.tree.leaves_with_path(hparams)
    }
    lengths = {name: shape[0] if shape else None for name, shape in shapes.items()}
    if len(set(lengths.values())) > 1 or None in lengths.values():
        got = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise RunError(
            "a population expects one leading axis, with one entry per member, on its keys and on "
            f"every hyperparameter, but got the shapes {got}; jax.random.split(key, n) returns n "
            "keys, jnp.full(n, value) gives all members one value"
        )
    if not lengths["keys"]:
        raise RunError(
            "a population expects at least one member, but got none; jax.random.split(key, n) "
            "returns n keys"
        )
    return lengths["keys"]


@jax.jit  # one program; indexing leaf by leaf would compile several per shape
def take_members(tree: Any, index: Any) -> Any:
    """`leaf[index]` of each leaf: of one member, or of those at an array of integers."""
    return jax.tree.map(lambda leaf: leaf[index], tree)
