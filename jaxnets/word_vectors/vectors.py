"""Word vectors: similar words, analogies, files, and tables for an embedding."""

import gzip
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import BinaryIO

import numpy as np

from jaxnets.checks import as_integers
from jaxnets.data.text import Vocabulary
from jaxnets.errors import DataError
from jaxnets.files import atomic_write, regular_file
from jaxnets.messages import printable

LINE_LIMIT = 2**20  # bytes of a line of text


@dataclass(frozen=True, eq=False)
class WordVectors:
    """Words and their vectors.

    Attributes:
      words: without repetition, from the most to the least frequent.
      vectors: float32 (words, features).

    Raises:
      DataError: words that are not different strings, or not one vector per word.
    """

    words: tuple[str, ...]
    vectors: np.ndarray

    def __post_init__(self) -> None:
        """Check that each word has one vector."""
        wrong = [word for word in self.words if not isinstance(word, str)]
        if wrong:
            raise DataError(
                f"WordVectors expects words as strings, but got {wrong[0]!r}; convert it"
            )
        vectors = np.asarray(self.vectors, np.float32)
        if vectors.ndim != 2 or len(vectors) != len(self.words):
            raise DataError(
                f"WordVectors expects vectors ({len(self.words)}, features), one per word, but got "
                f"{vectors.shape}"
            )
        if len(self.index) < len(self.words):
            repeated = next(w for row, w in enumerate(self.words) if self.index[w] != row)
            raise DataError(
                f"WordVectors expects each word once, but got {repeated!r} twice; drop one"
            )
        object.__setattr__(self, "vectors", vectors)

    @cached_property
    def index(self) -> dict[str, int]:
        """The row of each word."""
        return {word: row for row, word in enumerate(self.words)}

    def __contains__(self, word: str) -> bool:
        """Whether the word has a vector."""
        return word in self.index

    def __getitem__(self, word: str) -> np.ndarray:
        """The vector of a word, float32 (features,)."""
        if word not in self.index:
            raise DataError(f"no vector for {word!r}; check `word in vectors` first")
        return self.vectors[self.index[word]]

    @cached_property
    def unit(self) -> np.ndarray:
        """The vectors, divided by their length; a vector of zeros stays as it is."""
        length = np.linalg.norm(self.vectors, axis=1, keepdims=True)
        return self.vectors / np.where(length == 0, 1, length)

    def similarity(self, first: str, second: str) -> float:
        """The cosine of the angle between two words, from -1 to 1."""
        return float(self._unit_of(first) @ self._unit_of(second))

    def nearest(self, word: str, n: int = 10) -> list[tuple[str, float]]:
        """The n most similar words and their cosines, without the word itself."""
        return self._nearest(self._unit_of(word), n, {word})

    def analogy(self, a: str, b: str, c: str, n: int = 10) -> list[tuple[str, float]]:
        """Words that are to c as b is to a: nearest to b - a + c, without the three themselves.

        `vectors.analogy("man", "king", "woman")` of good vectors begins with "queen". Source:
        Mikolov et al. 2013, "Linguistic regularities in continuous space word representations".
        """
        target = self._unit_of(b) - self._unit_of(a) + self._unit_of(c)
        return self._nearest(target / (np.linalg.norm(target) or 1), n, {a, b, c})

    def plane(self, words: Sequence[str]) -> np.ndarray:
        """The words' vectors on their first two principal axes, (words, 2), for a map."""
        if not len(words):
            raise DataError("WordVectors.plane expects at least one word, but got none")
        x = np.stack([self[word] for word in words])
        x = x - x.mean(0)
        plane = x @ np.linalg.svd(x, full_matrices=False)[2][:2].T
        return np.pad(plane, ((0, 0), (0, 2 - plane.shape[1])))  # one word has one axis

    def table(self, vocabulary: Vocabulary, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """A table for `embedding(len(vocabulary), features)`, and which of its rows have a vector.

        Padding is zeros; other indices without a vector are normal with the mean and the variance
        of each feature. To start from the table: `embedding_init=lambda *_: table`.

        Raises:
          DataError: there are no vectors, so there is no mean of them.
        """
        if not self.vectors.size:
            raise DataError(
                f"WordVectors.table expects at least one vector, but got {self.vectors.shape}; "
                "see load_vectors"
            )
        rng, shape = np.random.default_rng(seed), (len(vocabulary), self.vectors.shape[1])
        table = rng.normal(self.vectors.mean(0), self.vectors.std(0), shape).astype(np.float32)
        found = np.zeros(len(vocabulary), bool)
        for token, i in vocabulary.index.items():
            if token in self.index:
                table[i], found[i] = self[token], True
        table[0] = 0
        return table, found

    def save(self, path: str | Path) -> None:
        """Write the text format of word2vec, which gensim reads: a header, then a word per line.

        Raises:
          DataError: a word contains white space, which separates the numbers.
        """
        for word in self.words:
            if word.split() != [word]:
                raise DataError(f"WordVectors.save expects words without spaces, but got {word!r}")
        with atomic_write(path) as file:
            file.write(f"{len(self.words)} {self.vectors.shape[1]}\n".encode())
            for word, vector in zip(self.words, self.vectors.tolist(), strict=True):
                file.write(f"{word} {' '.join(f'{v:.9g}' for v in vector)}\n".encode())

    def _unit_of(self, word: str) -> np.ndarray:
        vector = self[word]
        return vector / (np.linalg.norm(vector) or 1)

    def _nearest(self, target: np.ndarray, n: int, without: set[str]) -> list[tuple[str, float]]:
        cosines = self.unit @ target
        order = (row for row in np.argsort(-cosines, kind="stable"))
        words = ((self.words[row], float(cosines[row])) for row in order)
        return [(word, cosine) for word, cosine in words if word not in without][:n]


def load_vectors(path: str | Path, most: int | None = None) -> WordVectors:
    """Read word vectors from a file.

    Args:
      path: a text file with a word and its numbers per line, like those of GloVe and word2vec, also
        compressed as `.gz`; or an `.npz` with the arrays `words` and `vectors`.
      most: read the first words only, which are the most frequent ones in published files.

    Raises:
      DataError: the file cannot be read, or is damaged; the message names the line.
    """
    path = Path(path)
    if most is not None:
        [most] = as_integers("load_vectors", error=DataError, most=most)
    try:
        with regular_file(path) as file:
            if path.suffix == ".npz":
                return _read_npz(file, most)
            if path.suffix == ".gz":
                with gzip.GzipFile(fileobj=file) as unpacked:
                    return _read_text(unpacked, most)  # type: ignore[arg-type]
            return _read_text(file, most)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{printable(path)} has no word vectors: {printable(error)}") from error


def _read_npz(file: BinaryIO, most: int | None) -> WordVectors:
    if not zipfile.is_zipfile(file):
        raise ValueError("it is not an .npz archive")
    file.seek(0)
    arrays = np.load(file, allow_pickle=False)
    names, vectors = arrays["words"], arrays["vectors"]
    if names.ndim != 1 or vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
        raise ValueError(
            f"expected words (n,) and numbers (n, features), but got {names.dtype}{names.shape} "
            f"and {vectors.dtype}{vectors.shape}"
        )
    words = [word.decode() if isinstance(word, bytes) else word for word in names[:most].tolist()]
    vectors = vectors[:most]
    if not vectors.size or not np.isfinite(vectors).all():
        raise ValueError(
            "it is empty" if not vectors.size else "it has numbers that are not finite"
        )
    return WordVectors(tuple(words), vectors)


def _read_text(file: BinaryIO, most: int | None) -> WordVectors:
    words, vectors = {}, []
    for number, line in enumerate(iter(partial(file.readline, LINE_LIMIT), b""), start=1):
        word, *numbers = line.decode().rstrip("\n").rstrip(" ").split(" ")
        if number == 1 and len(numbers) == 1 and word.isdecimal() and numbers[0].isdecimal():
            continue  # word2vec's header
        if most is not None and len(words) == most:
            break
        try:
            vector = np.array(numbers, np.float32)
        except ValueError:
            raise ValueError(f"line {number} has entries that are not numbers") from None
        if not vector.size:
            raise ValueError(f"line {number} has no numbers after a word and a space")
        if vectors and len(vector) != len(vectors[0]):
            raise ValueError(
                f"line {number} has {len(vector)} numbers, but lines before it {len(vectors[0])}"
            )
        if not np.isfinite(vector).all():
            raise ValueError(f"line {number} has a number that is not finite")
        if word in words:
            raise ValueError(f"line {number} repeats the word of line {words[word]}")
        words[word] = number
        vectors.append(vector)
    if not words:
        raise ValueError("it is empty")
    return WordVectors(tuple(words), np.stack(vectors))
