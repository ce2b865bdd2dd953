"""Reads a data set from four IDX files in a folder."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from jaxnets.data import idx
from jaxnets.data.catalogue import CATALOGUE, File, Published
from jaxnets.data.dataset import Absent, Dataset, Split, read_only
from jaxnets.errors import DataError
from jaxnets.messages import printable


def path_of(file: File, folder: Path) -> Path | None:
    """The path of a file in a folder under any of its names; None if it is not there."""
    return next(filter(os.path.isfile, (folder / name for name in file.names)), None)


def locate(published: Published, folders: Iterable[Path]) -> list[Path]:
    """The paths of the four files in the first folder that contains any of them.

    Raises Absent if no folder does, DataError if that folder does not contain all four.
    """
    for folder in folders:
        paths = {file.name: path_of(file, folder) for file in published.files}
        missing = [name for name, path in paths.items() if path is None]
        if not missing:
            return [path for path in paths.values() if path]
        if len(missing) < len(paths):
            raise DataError(
                f"{printable(folder)} contains only a part of {published.name}, without "
                f"{' and '.join(missing)} (raw or .gz). Put all four files there, or remove the "
                "others."
            )
    raise Absent(f"{' or '.join(map(printable, folders))}: none of the four files")


def read_published(published: Published, paths: Sequence[Path], source: str, cure: str) -> Dataset:
    """The data set in files with the published content; other content raises, ending in `cure`."""
    try:
        dataset = _read(published, paths, source)
        for path, file in zip(paths, published.files, strict=True):
            if dataset.checksums[file.name] != file.idx_sha256:
                raise DataError(
                    f"{printable(path)} has the SHA-256 {dataset.checksums[file.name]} (unpacked), "
                    f"not {file.idx_sha256} as published."
                )
    except DataError as error:
        raise DataError(f"{error} {cure}") from None
    return dataset


def read_user_files(published: Published, paths: Sequence[Path]) -> Dataset:
    """The data set in a user's files: checks the structure and labels, but not the checksums."""
    folder = paths[0].parent
    try:
        dataset = _read(published, paths, f"IDX files in {printable(folder)}")
    except DataError as error:
        raise DataError(
            f"{error} For your own files only the structure is checked: correct it, or choose "
            "another folder."
        ) from None
    for other in CATALOGUE.values():
        if other is not published and dataset.checksums == other.checksums:
            raise DataError(
                f"{printable(folder)} contains {other.name}, not {published.name}; their files "
                f"have the same names. Put each data set into a subfolder with its name."
            )
    is_published = dataset.checksums == published.checksums
    content = "as published" if is_published else "your own: structure checked, content not"
    return dataset._replace(source=f"{dataset.source} ({content})")


def _read(published: Published, paths: Sequence[Path], source: str) -> Dataset:
    contents = [
        idx.read(path, rank=len(file.shape))
        for path, file in zip(paths, published.files, strict=True)
    ]
    (train_x, _), (train_y, _), (test_x, _), (test_y, _) = contents
    return Dataset(
        train=checked_split(published, train_x, train_y, where=str(paths[1])),
        test=checked_split(published, test_x, test_y, where=str(paths[3])),
        name=published.name,
        source=source,
        checksums={
            file.name: sha256 for file, (_, sha256) in zip(published.files, contents, strict=True)
        },
        classes=published.classes,
    )


def checked_split(published: Published, x: np.ndarray, y: np.ndarray, where: str) -> Split:
    """A Split of images (n, 28, 28) and labels (n,), after checks of their shapes and values."""
    height, width = published.files[0].shape[1:]
    if x.shape[1:] != (height, width) or y.shape != x.shape[:1] or not y.size:
        raise DataError(
            f"{printable(where)} has labels of shape {y.shape} for images of shape {x.shape}; "
            f"{published.name} has (n,) for (n, {height}, {width}), and n at least 1."
        )
    last = len(published.classes) - 1
    invalid = (y < 0) | (y > last)
    if invalid.any():
        row = int(invalid.argmax())
        raise DataError(
            f"{printable(where)} has the label {y[row]} in row {row}; {published.name} has "
            f"{len(published.classes)} classes, 0 to {last}."
        )
    return Split(x=read_only(x[..., None]), y=read_only(y.astype(np.int32)))
