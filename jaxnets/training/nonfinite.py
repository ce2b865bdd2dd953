"""Where a run stopped being numbers, and what it was just before."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.arrays import nonfinite_rows
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
      finite: whether the parameters after it are finite; if not, its last update spoilt them.
    """
    wrong = np.flatnonzero(~np.isfinite(objectives[: stop - start]))
    if wrong.size:
        return start + int(wrong[0])
    return None if finite else stop - 1


def last_good(advance: Callable[[int], tuple], bad: int) -> tuple:
    """What a chunk gives that stops at the last train state that is all finite.

    That is at step `bad` or, where the update before had spoilt the parameters, the one before.

    The update before a bad step may have been what spoilt the parameters.

    Args:
      advance: reruns the chunk from its start up to the step it is given; what it returns begins
        with the train state.
      bad: the first step whose objective, or whose update, was not finite.
    """
    found = advance(bad)
    return found if all_finite(found[0][1:4]) else advance(bad - 1)


def nonfinite_data(name: str, split: tuple[Any, Any]) -> str | None:
    """Which row of a split is not finite, as a clause; None where all inputs and labels are."""
    parts = zip(("inputs", "labels"), split, strict=True)
    return next(
        (rows for part, array in parts if (rows := nonfinite_rows(f"the {name} {part}", array))),
        None,
    )


def not_finite(values: dict[str, Any] | None, split: Any) -> tuple[str, ...]:
    """The warning that a validation loss deserves which is not finite.

    Args:
      values: the metrics over the split, each a number or one per member of a population.
      split: inputs and labels.
    """
    if values is None or np.ndim(values["loss"]) > 1 or np.isfinite(values["loss"]).all():
        return ()
    cause = nonfinite_data("validation", split)
    why = f"; {cause}" if cause else ""
    return (f"the validation loss is {values['loss']}, which is never the best{why}",)
