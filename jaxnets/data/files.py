"""Four IDX files in a folder, made into a checked data set."""

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
    """Where a folder holds a file, under any of its names."""
    return next(filter(os.path.isfile, (folder / name for name in file.names)), None)


def locate(published: Published, folders: Iterable[Path]) -> list[Path]:
    """The paths of the four files in the first folder that holds any of them.

    Raises Absent if none does, DataError if that folder lacks some of the four.
    """
    for folder in folders:
        paths = {file.name: path_of(file, folder) for file in published.files}
        missing = [name for name, path in paths.items() if path is None]
        if not missing:
            return [path for path in paths.values() if path]
        if len(missing) < len(paths):
            raise DataError(
                f"{printable(folder)} holds {published.name} in part, without "
                f"{' and '.join(missing)} (raw or .gz). Put all four files there, or take the "
                "others away."
            )
    raise Absent(f"{' or '.join(map(printable, folders))}: none of the four files")


def read_published(published: Published, paths: Sequence[Path], source: str, cure: str) -> Dataset:
    """The data set in files that must hold what was published; `cure` ends the error if not."""
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


def read_own(published: Published, paths: Sequence[Path]) -> Dataset:
    """The data set in a person's own files: structure and labels are checked, content is not."""
    folder = paths[0].parent
    try:
        dataset = _read(published, paths, f"IDX files in {printable(folder)}")
    except DataError as error:
        raise DataError(
            f"{error} These are your own files, so only their structure is checked: correct it, or "
            "name another folder."
        ) from None
    for other in CATALOGUE.values():
        if other is not published and dataset.checksums == other.checksums:
            raise DataError(
                f"{printable(folder)} holds {other.name}, not {published.name}; their files have "
                f"the same names. Put each set into a subfolder of its name."
            )
    same = dataset.checksums == published.checksums
    content = "as published" if same else "your own: structure checked, content not"
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
    """Images (n, 28, 28) and labels (n,) found at `where` as a Split, if they fit each other."""
    height, width = published.files[0].shape[1:]
    if x.shape[1:] != (height, width) or y.shape != x.shape[:1] or not y.size:
        raise DataError(
            f"{printable(where)} holds labels of shape {y.shape} for images of shape {x.shape}; "
            f"{published.name} has (n,) for (n, {height}, {width}), and n at least 1."
        )
    last = len(published.classes) - 1
    wrong = (y < 0) | (y > last)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"{printable(where)} holds the label {y[row]} at row {row}; {published.name} has "
            f"{len(published.classes)} classes, 0 to {last}."
        )
    return Split(x=read_only(x[..., None]), y=read_only(y.astype(np.int32)))
