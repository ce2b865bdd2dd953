"""Files that appear whole or not at all, and reading that never waits for what is no file."""

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from jaxnets.messages import printable


@contextmanager
def written_whole(path: str | Path) -> Iterator[BinaryIO]:
    """A new file, open to write and read, that takes the name `path` at the end of the block.

    Its bytes go to a temporary file beside it, are on the disk before the name is, and the name is
    before the block ends. After an exception what was there is there still, and nothing else.

    Raises:
      OSError: the system's own, as for a full disk.
    """
    path = Path(path)
    with _temporary(path) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(file.name)
            raise
    _sync_folder(path.parent)


def sweep(folder: str | Path, names: str) -> None:
    """Take away what dead writers left of files whose names match the pattern `names`.

    The temporary file of a writer that lives is locked, and stays.
    """
    for path in Path(folder).glob(f"{names}.*-*.tmp"):
        with suppress(OSError), regular_file(path) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


@contextmanager
def regular_file(path: str | Path) -> Iterator[BinaryIO]:
    """A file open to read its bytes; a pipe or a device, which might never end, is refused.

    Raises:
      OSError: the system's own, or that it is no regular file.
    """
    # Without O_NONBLOCK, opening a pipe waits for someone to write into it.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{printable(path)} is no regular file")
        yield file


@contextmanager
def _temporary(path: Path) -> Iterator[BinaryIO]:
    """A new file beside `path`, locked for as long as it is open."""
    while True:
        # The pid is for people; two containers on one folder may have the same.
        name = path.with_name(f"{path.name}.{os.getpid()}-{token_hex(4)}.tmp")
        with open(name, "x+b") as file:
            with suppress(OSError):  # a file system without locks is never swept either
                fcntl.flock(file, fcntl.LOCK_EX)
            if name.exists():  # it may have been swept between its creation and its lock
                yield file
                return


def _sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk, as fsync puts a file's bytes there."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
