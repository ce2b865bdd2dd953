"""Images in a folder, one folder per class, as a data set."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jaxnets.checks import as_integers
from jaxnets.data.dataset import Dataset, Split, read_only
from jaxnets.data.readers.class_folders import class_folders
from jaxnets.data.readers.first_pass import Scan, scan
from jaxnets.data.readers.images import ImageReader, as_size
from jaxnets.data.splits import held_out_rows
from jaxnets.data.stream import Stream
from jaxnets.errors import DataError
from jaxnets.messages import printable


class Files(Sequence):
    """A source for `Stream` that reads and decodes a file whenever it is asked for."""

    def __init__(self, files: Scan, reader: ImageReader):
        self.files, self.reader = files, reader

    def __len__(self) -> int:
        return len(self.files.paths)

    def __getitem__(self, row: Any) -> Any:
        return self.reader(self.files.paths[row])[0], self.files.y[row]


def from_folder(
    folder: str | os.PathLike[str],
    *,
    size: int | tuple[int, int] | None = None,
    grey: bool = False,
    test: float | str | os.PathLike[str] = 0.2,
    seed: int = 0,
    damaged: Literal["refuse", "skip"] = "refuse",
    memory: int = 2**31,
) -> Dataset:
    """A data set of images in a folder that has one folder per class.

    The classes are the folders' names, sorted as strings. Images may lie in folders within a
    class; hidden files are ignored. Every file is read once, in threads, to find the damaged ones,
    their checksums, and the mean and standard deviation of the training images. For how images
    become pixels, see `ImageReader`: it is `dataset.preprocess`, which also reads new images.

        pets = data.from_folder("pets", size=64)
        reader = pets.preprocess
        model = serial(scale_pixels(reader.mean, reader.std), ("net", models.small_cnn(2)))
        ...
        predict(train_step, result.train_state, reader("new.jpg"))  # indices of pets.classes

    Args:
      folder: contains one folder per class, at least two.
      size: the height and width of all images, in pixels: a pair, or one number for both; None if
        all images have one size already.
      grey: whether to convert to one channel.
      test: the share of each class to hold out as `dataset.test`; or a folder of test images.
      seed: determines which images are held out.
      damaged: "refuse" files that cannot be read, all of them in one error; or "skip" them, with a
        warning that names them.
      memory: in bytes; if the pixels take more, both splits are `Stream`s, which read the files
        again in every epoch.

    Returns:
      The data set; x is uint8 (n, height, width, channels), y int32 (n,). The checksums are one
      SHA-256 per class, over the names and contents of its files.

    Raises:
      DataError: the folder is not arranged like this, files are damaged, the sizes differ and
        `size` is None, or a class is too small to hold out an image of it.
    """
    where, shape = "from_folder", as_size("from_folder", size)
    [memory] = as_integers(where, error=DataError, memory=memory)
    if damaged not in ("refuse", "skip"):
        raise DataError(f'{where} expects damaged="refuse" or "skip", but got {damaged!r}')
    folders = class_folders(where, folder)
    classes = tuple(folders)
    apart = _test_folders(where, folders, test) if isinstance(test, str | os.PathLike) else None
    files = scan(folders, shape, grey, damaged, memory)
    if apart is None:
        held_out = held_out_rows(where, files.y, test, seed, name="test", classes=classes)
        scans = {"": files}
        parts = [(files, ~held_out), (files, held_out)]
    else:
        test_files = scan(apart, files.images[0].shape, grey, damaged, memory)
        scans = {"train/": files, "test/": test_files}
        parts = [(part, np.ones(len(part.y), bool)) for part in scans.values()]
    reader = _fit_reader(*parts[0], grey)
    train, test_split = (_split(part, rows, reader) for part, rows in parts)
    return Dataset(
        train,
        test_split,
        name=files.folder.name,
        source=" and ".join(map(_source, scans.values())),
        checksums={
            prefix + name: checksum
            for prefix, part in scans.items()
            for name, checksum in _checksums(part, classes)
        },
        classes=classes,
        preprocess=reader,
    )


def _test_folders(
    where: str, folders: dict[str, list[Path]], test: str | os.PathLike[str]
) -> dict[str, list[Path]]:
    """The files of each class in the folder of test images."""
    tested = class_folders(where, test)
    if differing := sorted({*folders} ^ {*tested}):
        raise DataError(
            f"{where} expects the same classes in both folders, but only one of them has "
            f"{printable(differing)}; rename, add or remove folders"
        )
    if next(iter(folders.values()))[0] in next(iter(tested.values())):
        raise DataError(
            f"{where} expects other images for testing, but got {printable(test)} for both; pass "
            "test=0.2 to hold out a share"
        )
    return tested


def _fit_reader(files: Scan, rows: np.ndarray, grey: bool) -> ImageReader:
    """A reader with the mean and standard deviation of each channel of these rows."""
    size = files.images[0].shape
    total = np.sum([files.images[row].sums for row in np.flatnonzero(rows)], axis=0)
    mean, square = total / (rows.sum() * size[0] * size[1])
    std = np.sqrt(np.maximum(square - mean**2, 0))
    std = np.where(std > 0, std, 255)  # images of one colour
    return ImageReader(size, grey, tuple((mean / 255).tolist()), tuple((std / 255).tolist()))


def _split(files: Scan, rows: np.ndarray, reader: ImageReader) -> Split | Stream:
    """These rows in memory, or as a stream if not all pixels were kept."""
    chosen = np.flatnonzero(rows)
    if any(image.pixels is None for image in files.images):
        return Stream(Files(files, reader), labels=files.y).take(chosen)
    pixels: list[Any] = [files.images[row].pixels for row in chosen]
    return Split(read_only(np.stack(pixels)), read_only(files.y[chosen]))


def _source(files: Scan) -> str:
    skipped = f", {files.skipped} damaged files skipped" if files.skipped else ""
    return f"{len(files.paths)} images in {printable(files.folder)}{skipped}"


def _checksums(files: Scan, classes: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """For each class, the SHA-256 over the names and the contents of its files."""
    for number, name in enumerate(classes):
        digest = hashlib.sha256()
        for row in np.flatnonzero(files.y == number):
            relative = files.paths[row].relative_to(files.folder / name)
            digest.update(os.fsencode(relative) + b"\0" + files.images[row].sha256.encode())
        yield name, digest.hexdigest()
