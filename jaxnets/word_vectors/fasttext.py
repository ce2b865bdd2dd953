"""FastText: word vectors as means over the words' character n-grams.

Source: Bojanowski et al. 2017, "Enriching word vectors with subword information".
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.checks import as_integers
from jaxnets.data.text import Vocabulary, character_ngrams
from jaxnets.errors import DataError
from jaxnets.keys import stream
from jaxnets.layer import Array, Key, Params
from jaxnets.lowering.materialize import materialize
from jaxnets.training import TrainState
from jaxnets.word_vectors.vectors import WordVectors
from jaxnets.word_vectors.word2vec import Word2Vec, word2vec

AT_ONCE = 1024  # rows that are read or written at once


@dataclass(frozen=True)
class Subwords:
    """The character n-grams of a word, with its boundaries, as numbers of hash buckets.

    >>> len(Subwords(ngrams=(3, 3))("apple"))  # <ap, app, ppl, ple and le>
    5

    Attributes:
      buckets: the number of buckets; n-grams in the same bucket share a vector.
      ngrams: the shortest and the longest n-gram.

    Raises:
      DataError: a number that is not a positive integer, or a range in the wrong order.
    """

    buckets: int = 200_000
    ngrams: tuple[int, int] = (3, 6)

    def __post_init__(self) -> None:
        """Check the numbers."""
        shortest, longest = self.ngrams
        sizes = {"buckets": self.buckets, "shortest": shortest, "longest": longest}
        as_integers("Subwords", error=DataError, **sizes)
        if shortest > longest:
            raise DataError(
                f"Subwords expects ngrams=(shortest, longest), but got {self.ngrams}; swap them"
            )

    def __call__(self, word: str) -> list[int]:
        """The bucket of each n-gram of `<word>`, the shortest first; those of FastText.

        The boundaries alone are not n-grams.
        """
        lengths = range(self.ngrams[0], self.ngrams[1] + 1)
        grams = (character_ngrams(word if n == 1 else f"<{word}>", n) for n in lengths)
        return [fnv1a(gram) % self.buckets for ngrams in grams for gram in ngrams]


def fnv1a(text: str) -> int:
    """The 32-bit FNV-1a hash of the UTF-8 bytes, which FastText reads as signed."""
    value = 2166136261
    for byte in text.encode():
        signed = byte | 0xFFFFFF00 if byte & 0x80 else byte
        value = (value ^ signed) * 16777619 & 0xFFFFFFFF
    return value


@dataclass(frozen=True, eq=False)
class FastText(Word2Vec):
    """A train step of FastText, made by `fasttext`; pass it to `fit`.

    The params are `input` (vocabulary + buckets, features), the vectors of the words and then those
    of the n-grams, and `output` (vocabulary, features).

    Attributes:
      tokens: the words; token i has index i + 2.
      subwords: gives each word its n-grams.
      rows: for each index in turn, the rows of `input` of its word and n-grams, int32 (total,).
      starts: where the rows of each index start, and `total`, int32 (vocabulary + 1,).
    """

    tokens: tuple[str, ...]
    subwords: Subwords
    rows: np.ndarray
    starts: np.ndarray

    def init(self, key: Key, x: Any) -> TrainState:
        """Input vectors uniform in +-1 / features, and output vectors of zeros."""
        del x
        words, limit = len(self.kept), 1 / self.features
        shape = (words + self.subwords.buckets, self.features)
        vectors = jax.random.uniform(stream(key, "input"), shape, jnp.float32, -limit, limit)
        params = {"input": vectors, "output": jnp.zeros((words, self.features))}
        return TrainState(jnp.int32(0), params, {}, (), stream(key, "train"))

    def input_table(self, table: Array, words: Array) -> tuple[Array, Array]:
        """A table of the words' vectors, the means of their rows, and each word's row in it.

        The vector of a word is at its first index in the block.
        """
        first, n = self.first(words)
        totals = self.each_row(
            *(words, n, jnp.zeros((len(words), self.features))),
            lambda totals, place, row: totals.at[place].add(table[row], mode="drop"),
        )
        return totals / jnp.maximum(n, 1)[:, None], first

    def update_input(self, table: Array, words: Array, after: Array, before: Array) -> Array:
        """Each row of a word changes by as much as the word's vector.

        This is gradient descent on the rows with the gradient undivided, as in FastText: if each of
        n rows changes by d, so does their mean.
        """
        change, (_, n) = after - before, self.first(words)
        return self.each_row(
            *(words, n, table),
            lambda table, place, row: table.at[row].add(change[place], mode="drop"),
        )

    def first(self, words: Array) -> tuple[Array, Array]:
        """The index where each word first occurs, and there its number of rows, 0 elsewhere."""
        places = jnp.arange(len(words))
        first = jnp.full(len(self.kept), len(words)).at[words].min(places)[words]
        return first, jnp.where(first == places, jnp.asarray(np.diff(self.starts))[words], 0)

    def each_row(
        self, words: Array, n: Array, result: Array, add: Callable[[Array, Array, Array], Array]
    ) -> Array:
        """Call `add(result, places, rows)` on the first n rows of each word, `AT_ONCE` at a time.

        The last call is filled up with places and rows past the last ones.
        """
        starts, rows, ends = jnp.asarray(self.starts), jnp.asarray(self.rows), jnp.cumsum(n)

        def some(number: Array, result: Array) -> Array:
            i = number * AT_ONCE + jnp.arange(AT_ONCE)
            place = jnp.searchsorted(ends, i, side="right", method="scan_unrolled")
            row = rows[starts[words[place] + 1] - (ends[place] - i)]
            row = jnp.where(place < len(words), row, len(self.kept) + self.subwords.buckets)
            # Otherwise XLA fuses the search into the gather, and repeats it per feature.
            return add(result, materialize(place), materialize(row))

        return jax.lax.fori_loop(0, -(-ends[-1] // AT_ONCE), some, result)

    def vectors(self, params: Params) -> "SubwordVectors":
        """The vectors of the words, and of any other word with n-grams."""
        table, words = np.asarray(params["input"]), len(self.kept)
        totals = np.add.reduceat(table[self.rows], self.starts[:-1])
        means = (totals / np.diff(self.starts)[:, None])[words - len(self.tokens) :]
        return SubwordVectors(self.tokens, means, table[words:], self.subwords)


def fasttext(
    vocabulary: Vocabulary,
    counts: Any,
    features: int = 100,
    *,
    subwords: Subwords | None = None,
    **options: Any,
) -> FastText:
    """A train step of FastText: `word2vec` on the means of the words' and their n-grams' vectors.

        vocabulary = build_vocabulary(sentences, min_documents=5)
        train_step = fasttext(vocabulary, vocabulary.count(sentences).sum(0))
        blocks = corpus_blocks(vocabulary, sentences)
        result = fit(train_step, blocks, key=jax.random.key(0), epochs=5, batch_size=1)
        vectors = train_step.vectors(result.train_state.params)

    Args:
      vocabulary: its tokens are the words.
      counts: how often each index occurs in the corpus, integers (len(vocabulary),).
      features: the length of a vector.
      subwords: gives each word its n-grams; `Subwords()` by default.
      options: those of `word2vec`.

    Raises:
      LayerError: as for `word2vec`.
      DataError: not one count per index of the vocabulary.
    """
    step = word2vec(counts, features, **options)
    subwords = subwords or Subwords()
    if len(step.kept) != len(vocabulary):
        raise DataError(
            f"fasttext expects counts ({len(vocabulary)},), one per index of the vocabulary, but "
            f"got ({len(step.kept)},); see Vocabulary.count"
        )
    special = len(vocabulary) - len(vocabulary.tokens)
    ngrams = [[]] * special + [subwords(token) for token in vocabulary.tokens]
    rows = [[i, *(len(vocabulary) + bucket for bucket in row)] for i, row in enumerate(ngrams)]
    base = {field.name: getattr(step, field.name) for field in fields(Word2Vec)}
    return FastText(
        **base,
        tokens=vocabulary.tokens,
        subwords=subwords,
        rows=np.array([*chain(*rows)], np.int32),
        starts=np.cumsum([0, *map(len, rows)], dtype=np.int32),
    )


@dataclass(frozen=True, eq=False)
class SubwordVectors(WordVectors):
    """Words and their vectors, and the vectors of n-grams, for words that are not among them.

    Attributes:
      ngrams: float32 (buckets, features).
      subwords: gives a word its buckets.
    """

    ngrams: np.ndarray
    subwords: Subwords

    def __contains__(self, word: str) -> bool:
        """Whether the word is known, or has n-grams."""
        return word in self.index or bool(self.subwords(word))

    def __getitem__(self, word: str) -> np.ndarray:
        """The vector of a word: of an unknown one, the mean of its n-grams'; float32 (features,).

        Raises:
          DataError: an unknown word that, with its boundaries, is shorter than every n-gram.
        """
        if word in self.index:
            return self.vectors[self.index[word]]
        if not (buckets := self.subwords(word)):
            raise DataError(f"no vector for {word!r}, which has no n-grams; add it to the corpus")
        return self.ngrams[buckets].mean(0)
