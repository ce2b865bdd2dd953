"""The sentences of `experiments.sentiment`: their files, folds, and the vocabulary of a fold."""

import gzip
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnets.data import DataError, Dataset, Split, text
from jaxnets.files import regular_file
from jaxnets.messages import printable
from jaxnets.word_vectors import WordVectors

TOKENS = text.Words(pattern=r"[a-z]+(?:n't|'[a-z]+)?|[!?]")
LIMIT = 2**24  # bytes of a file


class File(NamedTuple):
    """A file of sentences with the mean rating of 20 people, and the SHA-256 of its text."""

    name: str
    sha256: str


# Hutto & Gilbert 2014, "VADER: a parsimonious rule-based model for sentiment analysis of social
# media text"; in additional_resources/hutto_ICWSM_2014.tar.gz of the source distribution of
# vaderSentiment 3.3.2 (MIT licence).
FILES = {
    "movie": File(
        "movieReviewSnippets_GroundTruth.txt",
        "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350",
    ),
    "amazon": File(
        "amazonReviewSnippets_GroundTruth.txt",
        "11a9807a0974a2506a2d3b4851eaf69b3d6d20688ce4923adda2312a4f6dd6c2",
    ),
    "nyt": File(
        "nytEditorialSnippets_GroundTruth.txt",
        "7d8fbcce7dde5d716da53e78f4ef4be6b706e9ef1e1d51887e6d0ad4b69cc27e",
    ),
    "tweets": File(
        "tweets_GroundTruth.txt",
        "dfbe7102e2f92579ed8b19df9a3822491880697c67adf712fb66e520cc05102f",
    ),
}


def load(name: str, folder: Path | None) -> tuple[tuple[str, ...], np.ndarray, Dataset]:
    """The sentences of a set that are not rated 0, their labels, 1 if positive, and its source.

    Raises:
      DataError: an unknown set, no folder, or a folder without its file.
    """
    if name not in FILES:
        raise DataError(f"--sets expects names from {', '.join(FILES)}, but got {printable(name)}")
    file = FILES[name]
    if folder is None:
        raise DataError(
            f"the set {name} expects a folder with {file.name} or its .gz, which are in the source "
            "distribution of vaderSentiment 3.3.2; pass it with --data-dir"
        )
    path, content = _content(folder, file)
    rows = [line.split("\t") for line in content.decode(errors="replace").splitlines()]
    rated = [(row[2], float(row[1])) for row in rows if len(row) == 3 and float(row[1])]
    texts, y = zip(*((words, rating > 0) for words, rating in rated), strict=True)
    labels = np.array(y, np.int32)
    empty = Split(np.zeros(0), labels[:0])
    source = f"{len(texts):,} sentences in {printable(path)}"
    return texts, labels, Dataset(empty, empty, name, source, {file.name: file.sha256}, ("-", "+"))


def _content(folder: Path, file: File) -> tuple[Path, bytes]:
    """The path and the text of a file, plain or packed, after its checksum is verified."""
    paths = [folder / file.name, folder / f"{file.name}.gz"]
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        raise DataError(f"{printable(folder)} has no {file.name}, plain or .gz; copy it there")
    try:
        with regular_file(path) as opened:
            unpacked = gzip.GzipFile(fileobj=opened) if path.suffix == ".gz" else opened
            content = unpacked.read(LIMIT)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{printable(path)} cannot be read: {printable(error)}") from error
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise DataError(
            f"{printable(path)} does not have the SHA-256 {file.sha256} (unpacked); copy it again"
        )
    return path, content


class Fold(NamedTuple):
    """A fold: the vocabulary of its training texts, and its parts as inputs and labels."""

    vocabulary: text.Vocabulary
    train: Split
    validation: Split
    test: Split


def parts(held_out: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows to train on, those for validation, and those to test.

    Validation has a tenth of the rows that are not tested, and up to 99 more.
    """
    rest = np.random.default_rng(seed).permutation(np.flatnonzero(~held_out))
    n = len(rest) - len(rest) // 10
    n -= n % 100 if n > 100 else 0  # folds of one size share their programs
    return rest[:n], rest[n:], np.flatnonzero(held_out)


def with_vectors(
    vocabulary: text.Vocabulary, texts: Sequence[str], vectors: WordVectors
) -> text.Vocabulary:
    """The vocabulary, and all other words of the texts that have a vector.

    So words that occur only outside the training texts have their vectors, too. Vectors of words
    that no text contains would change nothing, and are left out.
    """
    words = dict.fromkeys(word for words in map(vocabulary.tokenizer, texts) for word in words)
    others = (word for word in words if word in vectors and word not in vocabulary.index)
    return replace(vocabulary, tokens=(*vocabulary.tokens, *others))


def make_fold(
    texts: tuple[str, ...],
    y: np.ndarray,
    held_out: np.ndarray,
    size: int | None,
    length: int,
    seed: int,
    vectors: WordVectors | None = None,
) -> Fold:
    """A fold as indices (n, length) of the training texts' vocabulary, or `with_vectors`."""
    rows = parts(held_out, seed)
    training = [texts[row] for row in rows[0]]
    vocabulary = text.build_vocabulary(training, size, tokenizer=TOKENS)
    if vectors is not None:
        vocabulary = with_vectors(vocabulary, texts, vectors)

    def split(part: np.ndarray) -> Split:
        return Split(vocabulary.encode([texts[row] for row in part], length), y[part])

    return Fold(vocabulary, *map(split, rows))
