"""Where a run stopped being numbers, and what it was just before."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.arrays import Examples, nonfinite_rows
from jaxnets.layer import Array


@jax.jit
def all_finite(tree: Any) -> Array:
    """Whether no float in the tree is NaN or infinite, a boolean scalar."""
    floats = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in floats] or [jnp.bool_(True)]).all()


def first_bad_step(objectives: np.ndarray, start: int, stop: int, finite: Any) -> int | None:
    """The first step of a chunk that went wrong, or None.

    Args:
      objectives: the objective of each step from `start` on.
      start: the chunk's first step.
      stop: the step it stopped before.
      finite: whether the parameters after it are finite; if not, its last step made them so.
    """
    wrong = np.flatnonzero(~np.isfinite(objectives[: stop - start]))
    if wrong.size:
        return start + int(wrong[0])
    return None if finite else stop - 1


def last_good(rerun: Callable[[int], tuple], bad: int) -> tuple[Any, Any, int]:
    """The last train state of a chunk that is all finite, the sums there, and its step.

    That is step `bad` or, where the step before had spoilt the train state, the one before.

    Args:
      rerun: runs the chunk from its start until the step it is given; what it returns begins with
        the train state and the sums.
      bad: the first step whose objective, or whose result, was not finite.
    """
    train_state, sums, *_ = rerun(bad)
    if all_finite(train_state):
        return train_state, sums, bad
    train_state, sums, *_ = rerun(bad - 1)
    return train_state, sums, bad - 1


def nonfinite_data(name: str, data: Any) -> str | None:
    """Which row of the data is not finite, as a clause; None where all that is in memory are."""
    if not isinstance(data, Examples):
        return None
    for part, tree in (("inputs", data.x), ("labels", data.y)):
        for leaf in jax.tree.leaves(tree):
            if rows := nonfinite_rows(f"the {name} {part}", leaf):
                return rows
    return None


def not_finite(loss: np.ndarray, validation: Any) -> tuple[str, ...]:
    """The warning that validation losses deserve, of which one is not finite."""
    if loss.ndim > 1 or np.isfinite(loss).all():
        return ()
    cause = nonfinite_data("validation", validation)
    why = f"; {cause}" if cause else ""
    got = loss if len(loss) > 1 else loss[0]
    return (f"the validation loss is {got}, which is never the best{why}",)
