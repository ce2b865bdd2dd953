"""Data sets of time series by name: from a folder, the cache of downloads, or the archive."""

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

from jaxnets.data.dataset import Dataset, data_folder
from jaxnets.data.series import files
from jaxnets.data.series.cases import Series
from jaxnets.data.series.catalogue import CATALOGUE, Archive
from jaxnets.data.series.download import fetch
from jaxnets.errors import DataError
from jaxnets.files import user_cache
from jaxnets.messages import printable


def load_series(name: str, *, data_dir: str | os.PathLike[str] | None = None) -> Dataset[Series]:
    """A data set of the UCR and UEA archives by its name, such as "GunPoint", with its splits.

    ArrowHead, BasicMotions, GunPoint, ItalyPowerDemand, JapaneseVowels and OSULeaf are known. Reads
    NAME_TRAIN.ts and NAME_TEST.ts, or their .gz, in `data_dir` (or in the environment variable
    `JAXNETS_DATA_DIR`) or its subfolder NAME; without `data_dir` and such files, in the cache, to
    which the archive's zip is downloaded. Each split is padded to the longest of its series. For
    other sets and your own files use `read_series`.

    Raises:
      DataError: an unknown name, a folder without the files, a failed download, or a file whose
        SHA-256 is not the published one.
    """
    archive = _choose(name)
    if folder := data_folder(data_dir):
        paths = _find(archive, (folder / archive.name, folder))
        if len(paths) == 2:
            return _read(archive, paths, f"files in {printable(folder)}", files.CURE)
        if data_dir is not None or paths:
            raise DataError(
                f"{printable(folder)} lacks {archive.train.name} or {archive.test.name}, plain or "
                f".gz; put both there or into its subfolder {archive.name}, or pass no folder and "
                "unset JAXNETS_DATA_DIR to download them"
            )
    return _from_cache(archive)


def _choose(name: str) -> Archive:
    if isinstance(name, str) and name in CATALOGUE:
        return CATALOGUE[name]
    by_lower = {known.lower(): known for known in CATALOGUE}
    close = difflib.get_close_matches(str(name).lower(), by_lower, n=1)
    hint = f" Did you mean {by_lower[close[0]]!r}?" if close else ""
    raise DataError(
        f"There is no data set of series {printable(name)!r}; choose from {', '.join(CATALOGUE)}, "
        f"or read its files with read_series.{hint}"
    )


def _find(archive: Archive, folders: Sequence[Path]) -> list[Path]:
    """The paths of the training and the test file in the folders, of those that exist."""
    places = ([f / name for f in folders for name in file.names] for file in archive.files)
    paths = (next(filter(os.path.isfile, candidates), None) for candidates in places)
    return [path for path in paths if path is not None]


def _from_cache(archive: Archive) -> Dataset[Series]:
    """The set in the cache, downloaded if it is not complete there."""
    try:
        folder = user_cache() / archive.name
    except OSError as error:
        raise DataError(f"There is no cache for {archive.name}: {error}.") from None
    if len(_find(archive, [folder])) < 2:
        try:
            fetch(archive, folder)
        except ConnectionError as error:
            raise DataError(
                f"{archive.name} could not be downloaded: {error}. Put {archive.train.name} and "
                f"{archive.test.name} into a folder, and pass it as data_dir."
            ) from error
    cure = "delete this file to download it again"
    return _read(archive, _find(archive, [folder]), f"downloaded to {printable(folder)}", cure)


def _read(archive: Archive, paths: Sequence[Path], source: str, cure: str) -> Dataset[Series]:
    """The splits in two files, each after its checksum is verified."""
    splits, checksums = [], {}
    for file, path in zip(archive.files, paths, strict=True):
        text = files.read_text(path)
        checksums[file.name] = sha256 = files.checksum(text)
        if sha256 != file.sha256:
            raise DataError(
                f"{printable(path)} has the SHA-256 {sha256} (unpacked), not {file.sha256} as "
                f"published; {cure}, or read your own file with read_series"
            )
        splits.append(files.parse(path, text, cure))
    train, test = splits
    return Dataset(train, test, archive.name, source, checksums, train.classes)
