"""Buckets by length: batches of padded sequences without most of their padding."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnets.checks import as_integers
from jaxnets.errors import DataError
from jaxnets.padded import Padded


class Bucketed(NamedTuple):
    """Training data that are batched by length; see `bucketed`.

    Attributes:
      examples: `(x, y)` or `(x, y, weights)`.
      lengths: the numbers of steps that batches are padded to, ascending.
      steps: the number of consecutive training steps with one of them.
    """

    examples: Any
    lengths: tuple[int, ...]
    steps: int


def bucketed(examples: Any, lengths: Sequence[int], *, steps: int = 16) -> Bucketed:
    """Training data for `fit` whose batches are padded to one of a few lengths.

    Every block of `steps` batches has one length, for which one program is compiled. The examples
    of an epoch are shuffled, grouped by the shortest of `lengths` that they fit into, and cut into
    blocks, whose order is shuffled too. It depends only on the key and the epoch, so a resumed run
    is bit-identical. A bucket's last examples may be padded to a longer length.

    Args:
      examples: `(x, y)` or `(x, y, weights)` with padded batches of all examples in x and, for
        labels per token, y.
      lengths: the lengths, such as `(50, 100, 200)`; the largest is the longest sequence or more.
      steps: the number of consecutive steps with one length.

    Raises:
      DataError: there is no padded batch, or `lengths` are not ascending or are all shorter than
        a sequence.
    """
    steps, *sizes = as_integers(
        "bucketed",
        error=DataError,
        steps=steps,
        **{f"lengths[{i}]": n for i, n in enumerate(lengths)},
    )
    longest = row_lengths(examples).max(initial=0)
    if not sizes or sizes != sorted(set(sizes)) or sizes[-1] < longest:
        raise DataError(
            f"bucketed expects ascending lengths up to at least {longest}, the longest sequence, "
            f"but got {tuple(sizes)}; sort them without repeats, and add the longest"
        )
    return Bucketed(examples, tuple(sizes), steps)


def row_lengths(tree: Any) -> np.ndarray:
    """The number of steps of each example: the largest of its padded batches.

    Raises:
      DataError: the tree has no padded batch.
    """
    padded = [leaf for leaf in jax.tree.leaves(tree, is_leaf=_is_padded) if _is_padded(leaf)]
    if not padded:
        raise DataError(
            "bucketed expects a Padded batch among its examples, but got none; pass "
            "Padded(values, lengths), or plain data to fit if all sequences have one length"
        )
    return np.max([np.asarray(x.lengths) for x in padded], axis=0)


def cut(tree: Any, length: int) -> Any:
    """The tree with its padded batches cut to this number of steps, if they have more."""

    def leaf(x: Any) -> Any:
        return Padded(x.values[:, :length], x.lengths) if _is_padded(x) else x

    return jax.tree.map(leaf, tree, is_leaf=_is_padded)


def _is_padded(x: Any) -> bool:
    return isinstance(x, Padded)
