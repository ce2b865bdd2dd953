"""Detects NaN and infinity in a run, and rolls back to the last finite train state."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.arrays import Examples, nonfinite_rows
from jaxnets.layer import Array


@jax.jit
def all_finite(tree: Any) -> Array:
    """Whether every float in the tree is finite, a boolean scalar."""
    floats = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in floats] or [jnp.bool_(True)]).all()


def first_nonfinite_step(objectives: np.ndarray, start: int, stop: int, finite: Any) -> int | None:
    """The first step of a chunk whose objective or train state is not finite, or None.

    Args:
      objectives: the objective of each step from `start` on.
      start: the chunk's first step.
      stop: the step after its last.
      finite: whether the train state after the chunk is finite; if the objectives are finite and
        this is not, the last step is the cause.
    """
    nonfinite = np.flatnonzero(~np.isfinite(objectives[: stop - start]))
    if nonfinite.size:
        return start + int(nonfinite[0])
    return None if finite else stop - 1


def last_finite(rerun: Callable[[int], tuple], step: int) -> tuple[Any, Any, int]:
    """The last finite train state of a chunk, its sums, and its step.

    That is the train state at `step` or, if the step before already made it non-finite, the one
    before.

    Args:
      rerun: runs the chunk from its start up to a step, and returns a tuple that begins with the
        train state and the sums.
      step: the first step whose objective or train state is not finite.
    """
    train_state, sums, *_ = rerun(step)
    if all_finite(train_state):
        return train_state, sums, step
    train_state, sums, *_ = rerun(step - 1)
    return train_state, sums, step - 1


def nonfinite_data(name: str, data: Any) -> str | None:
    """A clause that names a non-finite row of data in memory; None if there is none."""
    if not isinstance(data, Examples):
        return None
    for part, tree in (("inputs", data.x), ("labels", data.y)):
        for leaf in jax.tree.leaves(tree):
            if rows := nonfinite_rows(f"the {name} {part}", leaf):
                return rows
    return None


def nonfinite_warnings(loss: np.ndarray, validation: Any) -> tuple[str, ...]:
    """A warning if one of the validation losses is not finite."""
    if loss.ndim > 1 or np.isfinite(loss).all():
        return ()
    row = nonfinite_data("validation", validation)
    cause = f"; {row}" if row else ""
    got = loss if len(loss) > 1 else loss[0]
    return (f"the validation loss is {got}, which never counts as the best{cause}",)
