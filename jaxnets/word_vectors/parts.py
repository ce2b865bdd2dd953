"""Parts of a block of words: the pairs of a part are one step of gradient descent."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnets.layer import Array

PART = 32  # words


class Part(NamedTuple):
    """Consecutive words of a block, with a window on either side.

    Attributes:
      words: the indices of the words, (PART + 2 * window,).
      rows: the rows of the words' vectors in the table of the block, of the same shape.
      sentences: the number of each word's sentence, -1 for padding, of the same shape.
      centers: whether a word of the part is the center of pairs, (PART,).
      radius: for each word, the greatest distance to the words of its context, (PART,).
      drawn: random words.
    """

    words: Array
    rows: Array
    sentences: Array
    centers: Array
    radius: Array
    drawn: Array


def inner(x: Array) -> Array:
    """The part without the windows on either side."""
    window = (len(x) - PART) // 2
    return x[window : window + PART]


def context(part: Part) -> Array:
    """1 where word j is in the context of center i, (PART, PART + 2 * window), else 0."""
    n = len(part.words)
    distance = abs(np.arange(PART)[:, None] + (n - PART) // 2 - np.arange(n))
    sentences = part.sentences[None]
    same = (inner(part.sentences)[:, None] == sentences) & (sentences >= 0)
    near = (distance > 0) & (distance <= part.radius[:, None])
    return (part.centers[:, None] & same & near).astype(jnp.float32)


def windows(x: Array, window: int, fill: int = 0) -> Array:
    """The parts of an array with a window on either side, (parts, PART + 2 * window)."""
    first = np.arange(len(x) // PART)[:, None] * PART
    return jnp.pad(x, window, constant_values=fill)[first + np.arange(PART + 2 * window)]
