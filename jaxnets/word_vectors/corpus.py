"""A corpus as blocks of consecutive words, the examples that word vectors are trained on."""

from collections.abc import Iterable
from itertools import chain

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from jaxnets.checks import as_integers
from jaxnets.data.text import Vocabulary
from jaxnets.data.text.vocabulary import PADDING, UNKNOWN
from jaxnets.errors import DataError

BORDER = 2  # windows of context on either side of a block, since words in it may be left out


def corpus_blocks(
    vocabulary: Vocabulary, sentences: Iterable[str], *, window: int = 5, size: int = 1024
) -> tuple[np.ndarray, np.ndarray]:
    """The words of a corpus in blocks, each with the words around it; the data to pass to `fit`.

    Unknown words are removed, so that the words around one become neighbours.

    Args:
      vocabulary: gives each word its index.
      sentences: texts; a context never extends from one into the next.
      window: the greatest distance between a word and the words of its context, as in `word2vec`.
      size: words per block.

    Returns:
      The indices of the words, int32 (blocks, size + 2 * border) with a border of twice the window,
      and the number of each word's sentence, of the same shape.

    Raises:
      DataError: a size that is not a positive integer, or no known word.
    """
    name = "corpus_blocks"
    window, size = as_integers(name, error=DataError, window=window, size=size)
    rows = [[i for i in row if i != UNKNOWN] for row in vocabulary.indices(sentences)]
    words = np.array([*chain(*rows)], np.int32)
    if not words.size:
        raise DataError(f"{name} expects sentences with words of the vocabulary, but got none")
    sentence = np.repeat(np.arange(len(rows), dtype=np.int32), [len(row) for row in rows])
    border = BORDER * window
    padding = (border, border + -len(words) % size)

    def blocks(array: np.ndarray, fill: int) -> np.ndarray:
        padded = np.pad(array, padding, constant_values=fill)
        return sliding_window_view(padded, size + 2 * border)[::size].copy()

    return blocks(words, PADDING), blocks(sentence, -1)
