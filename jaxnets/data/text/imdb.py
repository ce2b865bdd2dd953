"""IMDB: 50,000 movie reviews with the sentiment of each, from the authors' archive.

Maas et al. 2011, "Learning word vectors for sentiment analysis". The archive states no licence.
"""

import hashlib
import os
import re
import tarfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnets.data.catalogue import File
from jaxnets.data.dataset import Dataset, data_folder, read_only
from jaxnets.data.download import fetch
from jaxnets.errors import DataError
from jaxnets.files import regular_file, user_cache
from jaxnets.messages import printable

# The size and the SHA-256 are those of TensorFlow Datasets (url_checksums/imdb_reviews.txt).
ARCHIVE = File(
    "aclImdb_v1.tar",
    (),
    84_125_825,
    "c40f74a18d3b61f90feba1e17730e0d38e8b97c05fde7008942e91923d1658fe",
    "",
)
MIRRORS = ("https://ai.stanford.edu/~amaas/data/sentiment/",)
CLASSES = ("neg", "pos")
_REVIEW = re.compile(r"aclImdb/(train|test)/(neg|pos)/(\d{1,9})_\d{1,2}\.txt", re.ASCII)
_LIMIT = 2**20  # bytes of a review; the longest has 13,704 characters
_FAILURES = (tarfile.TarError, zlib.error, EOFError, OSError, ValueError)


class Texts(NamedTuple):
    """Texts and their labels.

    Attributes:
      x: the texts.
      y: int32 (n,), an index into `Dataset.classes`.
    """

    x: tuple[str, ...]
    y: np.ndarray


def load_imdb(*, data_dir: str | os.PathLike[str] | None = None) -> Dataset[Texts]:
    """The labelled reviews of IMDB: 25,000 to train on and 25,000 to test, half of them positive.

    Reads `aclImdb_v1.tar.gz` in `data_dir`, or in the environment variable `JAXNETS_DATA_DIR`;
    without such a file, in the cache, to which it is downloaded (84 MB). Its files are read in
    memory and never written to disk. Reviews are sorted by their class and number, so shuffle them.

    Raises:
      DataError: a folder without the archive, a failed download, or an archive whose SHA-256 is not
        the published one.
    """
    if folder := data_folder(data_dir):
        path = folder / ARCHIVE.gz_name
        if path.is_file():
            return _read(path, f"{printable(path)}", "download it again")
        if data_dir is not None:
            raise DataError(
                f"{printable(path.parent)} has no {ARCHIVE.gz_name}; put it there, or omit "
                "data_dir to download it"
            )
    path = _cached()
    return _read(path, f"downloaded to {printable(path)}", "delete it to download it again")


def _cached() -> Path:
    """The path of the archive in the cache, downloaded if it is not there."""
    try:
        folder = user_cache() / "imdb"
    except OSError as error:
        raise DataError(f"There is no cache for IMDB: {error}.") from None
    if not (path := folder / ARCHIVE.gz_name).is_file():
        try:
            fetch(ARCHIVE, MIRRORS, folder)
        except ConnectionError as error:
            raise DataError(
                f"IMDB could not be downloaded: {error}. Put {ARCHIVE.gz_name} into a folder, and "
                "pass it as data_dir."
            ) from error
    return path


def _read(path: Path, source: str, cure: str) -> Dataset[Texts]:
    """The splits of an archive, after its checksum is verified."""
    try:
        with regular_file(path) as file:
            sha256 = hashlib.sha256(file.read()).hexdigest()
            if sha256 != ARCHIVE.gz_sha256:
                raise DataError(
                    f"{printable(path)} has the SHA-256 {sha256}, not {ARCHIVE.gz_sha256} as "
                    f"published; {cure}"
                )
            file.seek(0)
            splits = read_reviews(file)
        train, test = (_split(splits[name]) for name in ("train", "test"))
    except _FAILURES as error:
        raise DataError(f"{printable(path)} cannot be read: {printable(error)}; {cure}") from error
    return Dataset(train, test, "imdb", source, {ARCHIVE.gz_name: sha256}, CLASSES)


def read_reviews(file: object) -> dict[str, dict[tuple[int, int], str]]:
    """The reviews of a .tar.gz by split, and by label and number.

    Only regular files with the names of reviews are read, in memory: a name in the archive is never
    used as a path.
    """
    splits: dict[str, dict[tuple[int, int], str]] = {"train": {}, "test": {}}
    with tarfile.open(fileobj=file, mode="r|gz") as packed:  # type: ignore[call-overload]
        for member in packed:
            match = _REVIEW.fullmatch(member.name)
            if match is None or not member.isreg():
                continue
            if member.size > _LIMIT:
                raise ValueError(f"{member.name} has more than {_LIMIT} bytes")
            split, label, number = match.groups()
            content = packed.extractfile(member)
            assert content is not None  # it is a regular file
            splits[split][CLASSES.index(label), int(number)] = content.read().decode()
    return splits


def _split(reviews: dict[tuple[int, int], str]) -> Texts:
    if not reviews:
        raise ValueError("it has a split without reviews")
    labels = np.array([label for label, _ in sorted(reviews)], np.int32)
    return Texts(tuple(reviews[key] for key in sorted(reviews)), read_only(labels))
