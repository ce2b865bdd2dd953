"""The first pass over a folder of images: finds the damaged ones, reads the others."""

import hashlib
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np

from jaxnets.data.readers.images import Unreadable, read_bytes, read_pixels
from jaxnets.errors import DataError
from jaxnets.messages import printable

LISTED = 100  # damaged files named in one message


class ImageInfo(NamedTuple):
    """What the first pass keeps of a file."""

    sha256: str
    shape: tuple[int, int]  # height and width, after scaling
    sums: np.ndarray  # of the pixels and of their squares, int64 (2, channels)
    pixels: np.ndarray | None  # uint8 (height, width, channels), if they fit in memory


class Scan(NamedTuple):
    """The readable files of a folder, in the order of their classes and names."""

    folder: Path
    paths: list[Path]
    y: np.ndarray  # int32 (n,)
    images: list[ImageInfo]
    skipped: int


class Budget:
    """The memory that is left for pixels, in bytes; shared by threads."""

    def __init__(self, left: int):
        self._left, self._lock = left, Lock()

    def take(self, amount: int) -> bool:
        """Subtract this amount; return whether the budget covers all amounts so far."""
        with self._lock:
            self._left -= amount
            return self._left >= 0


def scan(
    folders: dict[str, list[Path]],
    size: tuple[int, int] | None,
    grey: bool,
    damaged: str,
    memory: int,
) -> Scan:
    """Read every file once; refuse or skip the damaged ones."""
    paths = [path for inside in folders.values() for path in inside]
    y = np.repeat(np.arange(len(folders), dtype=np.int32), [len(p) for p in folders.values()])
    root = Path(os.path.commonpath([path.parent for path in paths]))
    budget = Budget(memory)
    with ThreadPoolExecutor(thread_name_prefix="images") as pool:
        results = list(pool.map(lambda path: _read(path, size, grey, budget), paths))
    broken = [(p, r) for p, r in zip(paths, results, strict=True) if isinstance(r, str)]
    _report_damaged(root, broken, len(paths), damaged)
    kept = [row for row, result in enumerate(results) if isinstance(result, ImageInfo)]
    images = [result for result in results if isinstance(result, ImageInfo)]
    if any(image.pixels is None for image in images):
        images = [image._replace(pixels=None) for image in images]
    result = Scan(root, [paths[i] for i in kept], y[kept], images, len(broken))
    if gone := {*range(len(folders))} - {*result.y.tolist()}:
        names = printable([name for i, name in enumerate(folders) if i in gone])
        raise DataError(f"from_folder expects images of each class, but all of {names} are damaged")
    _check_sizes(result)
    return result


def _read(path: Path, size: tuple[int, int] | None, grey: bool, budget: Budget) -> ImageInfo | str:
    """What is kept of a file, or the reason why it cannot be read."""
    try:
        content = read_bytes(path)
        pixels = read_pixels(content, size, grey)
    except OSError as error:
        return error.strerror or str(error)
    except Unreadable as error:
        return str(error)
    wide = pixels.reshape(-1, pixels.shape[-1]).astype(np.int64)
    sums = np.stack([wide.sum(0), (wide**2).sum(0)])
    kept = pixels if budget.take(pixels.nbytes) else None
    return ImageInfo(hashlib.sha256(content).hexdigest(), pixels.shape[:2], sums, kept)


def _report_damaged(root: Path, broken: list, count: int, damaged: str) -> None:
    """Raise an error, or warn, that names all damaged files."""
    if not broken:
        return
    files = [f"{path.relative_to(root)} ({reason})" for path, reason in broken]
    listed = "; ".join(map(printable, files[:LISTED]))
    more = f"; and {len(files) - LISTED} more" if len(files) > LISTED else ""
    if damaged == "refuse":
        raise DataError(
            f"from_folder expects images, but {len(files)} of {count} files in {printable(root)} "
            f'cannot be read: {listed}{more}; repair or remove them, or pass damaged="skip"'
        )
    warnings.warn(
        f"{len(files)} of {count} files in {printable(root)} are skipped, since they cannot be "
        f"read: {listed}{more}",
        stacklevel=4,
    )


def _check_sizes(result: Scan) -> None:
    first = result.images[0].shape
    for path, image in zip(result.paths, result.images, strict=True):
        if image.shape != first:
            files = [printable(p.relative_to(result.folder)) for p in (result.paths[0], path)]
            raise DataError(
                f"from_folder expects images of one size (height, width), but got {first} in "
                f"{files[0]} and {image.shape} in {files[1]}; pass size=64, or another number of "
                "pixels"
            )
