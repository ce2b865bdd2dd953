"""Atomic writes, whole lines appended, and reading that never waits for what is no file.

Every file that jaxnets and its experiments write goes through `atomic_write` or `appended`.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from jaxnets import locks
from jaxnets.messages import printable


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """A new file, open to write and read, that takes the name `path` at the end of the block.

    Its bytes go to a temporary file beside it, are on the disk before the name is, and the name is
    before the block ends. After an exception what was there is there still, and nothing else.

    Raises:
      OSError: the system's own, as for a full disk; it names `path`.
    """
    path = Path(path).absolute()  # whatever becomes of the working directory
    with _naming(path), _temporary(path) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            _let_go(file)
            os.replace(file.name, path)
        except BaseException:
            with suppress(OSError):  # bytes that found no room find none now either
                file.close()
            with suppress(OSError):
                os.unlink(file.name)
            raise
    _sync_folder(path.parent)


@contextmanager
def appended(path: str | Path) -> Iterator[Callable[[bytes], None]]:
    """A function that appends bytes to the file at `path`, all of them or none.

    They reach the system at once, so that killing the process loses nothing.

    Raises:
      OSError: the system's own, as for a full disk; it names `path`.
    """
    path = Path(path).absolute()
    with open(path, "ab", buffering=0) as file:

        def append(content: bytes) -> None:
            size, rest = os.fstat(file.fileno()).st_size, memoryview(content)
            with _naming(path):
                try:
                    while rest:
                        rest = rest[file.write(rest) :]
                except BaseException:
                    with suppress(OSError):
                        file.truncate(size)
                    raise

        yield append


def user_cache() -> Path:
    """The folder for what jaxnets keeps for a user, in XDG_CACHE_HOME or else in ~/.cache.

    Raises:
      OSError: the user has no home folder.
    """
    try:
        return (
            Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "jaxnets"
        )
    except RuntimeError:  # neither HOME nor an entry for the user
        raise OSError("there is no home folder; set XDG_CACHE_HOME to a folder") from None


def sweep(folder: str | Path, names: str) -> None:
    """Take away what dead writers left of files whose names match the pattern `names`.

    The temporary file of a writer that lives is locked, and stays.
    """
    for path in Path(folder).glob(f"{names}.*-*.tmp"):
        with suppress(OSError), regular_file(path) as file:
            if locks.lock(file.fileno()):
                _let_go(file)
                path.unlink()


@contextmanager
def regular_file(path: str | Path) -> Iterator[BinaryIO]:
    """A file open to read its bytes; a pipe or a device, which might never end, is refused.

    Raises:
      OSError: the system's own, or that it is no regular file.
    """
    # Without O_NONBLOCK, which Windows lacks, opening a pipe waits for someone to write into it.
    extra = getattr(os, "O_NONBLOCK", 0)
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | extra)) as file:
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
            # It may have been swept between its creation and its lock.
            if _locked(file) and name.exists():
                yield file
                return


def _locked(file: BinaryIO) -> bool:
    with suppress(OSError):
        return locks.lock(file.fileno())
    return True  # a file system without locks is never swept either


def _let_go(file: BinaryIO) -> None:
    """Close a file, and lose its lock, where no open file can be renamed or removed."""
    if not locks.POSIX:
        file.close()


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Let an error of the system that names no file, or a temporary one, name `path`."""
    try:
        yield
    except OSError as error:
        temporary = str(error.filename).startswith(f"{path}.")
        if error.errno is None or not (error.filename is None or temporary):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _sync_folder(folder: Path) -> None:
    """Put the names in a folder on the disk, as fsync puts a file's bytes there."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows opens no folder
        return
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
