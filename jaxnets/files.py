"""Atomic writes and appends, and reading that never blocks on a pipe or a device.

Every file that jaxnets writes itself goes through `atomic_write` or `atomic_append`.
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
    """A new file, open for writing and reading, that replaces `path` at the end of the block.

    The bytes go to a temporary file in the same folder, which is synced to disk and renamed; the
    folder is synced before the block ends. After an exception the previous file is unchanged and
    the temporary file is removed.

    Raises:
      OSError: as the system raises it, for example for a full disk; it names `path`.
    """
    path = Path(path).absolute()  # independent of later changes of the working directory
    with _name_in_errors(path), _temporary(path) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            _close_on_windows(file)
            os.replace(file.name, path)
        except BaseException:
            with suppress(OSError):  # closing flushes, which fails again on a full disk
                file.close()
            with suppress(OSError):
                os.unlink(file.name)
            raise
    _sync_folder(path.parent)


@contextmanager
def atomic_append(path: str | Path) -> Iterator[Callable[[bytes], None]]:
    """A function that appends bytes to the file at `path`, all of them or none.

    The writes are unbuffered, so that killing the process loses nothing.

    Raises:
      OSError: as the system raises it, for example for a full disk; it names `path`.
    """
    path = Path(path).absolute()
    with open(path, "ab", buffering=0) as file:

        def append(content: bytes) -> None:
            size, rest = os.fstat(file.fileno()).st_size, memoryview(content)
            with _name_in_errors(path):
                try:
                    while rest:
                        rest = rest[file.write(rest) :]
                except BaseException:
                    with suppress(OSError):
                        file.truncate(size)
                    raise

        yield append


def user_cache() -> Path:
    """The user's cache folder for jaxnets, in XDG_CACHE_HOME or else in ~/.cache.

    Raises:
      OSError: the user has no home folder.
    """
    try:
        return (
            Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "jaxnets"
        )
    except RuntimeError:  # neither HOME nor an entry for the user
        raise OSError("there is no home folder; set XDG_CACHE_HOME to a folder") from None


def remove_stale(folder: str | Path, names: str) -> None:
    """Remove the temporary files that killed calls of `atomic_write` left behind.

    `names` is a pattern for the names of the target files. The temporary file of a running writer
    is locked and stays.
    """
    for path in Path(folder).glob(f"{names}.*-*.tmp"):
        with suppress(OSError), regular_file(path) as file:
            if locks.lock(file.fileno()):
                _close_on_windows(file)
                path.unlink()


@contextmanager
def regular_file(path: str | Path) -> Iterator[BinaryIO]:
    """A file opened for reading bytes; raises for a pipe or a device, which might never end.

    Raises:
      OSError: as the system raises it, or because `path` is not a regular file.
    """
    # Without O_NONBLOCK, which Windows lacks, opening a pipe blocks until another process writes.
    extra = getattr(os, "O_NONBLOCK", 0)
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | extra)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{printable(path)} is not a regular file")
        yield file


@contextmanager
def _temporary(path: Path) -> Iterator[BinaryIO]:
    """A new file in the folder of `path`, locked while it is open."""
    while True:
        # The pid is only informative; processes in two containers may have the same one.
        name = path.with_name(f"{path.name}.{os.getpid()}-{token_hex(4)}.tmp")
        with open(name, "x+b") as file:
            # `remove_stale` may have removed it between its creation and its lock.
            if _try_lock(file) and name.exists():
                yield file
                return


def _try_lock(file: BinaryIO) -> bool:
    with suppress(OSError):
        return locks.lock(file.fileno())
    return True  # without locks, `remove_stale` removes nothing either


def _close_on_windows(file: BinaryIO) -> None:
    """Close a file, and release its lock, where an open file cannot be renamed or removed."""
    if not locks.POSIX:
        file.close()


@contextmanager
def _name_in_errors(path: Path) -> Iterator[None]:
    """Make system errors that name no file, or a temporary one, name `path`."""
    try:
        yield
    except OSError as error:
        temporary = str(error.filename).startswith(f"{path}.")
        if error.errno is None or not (error.filename is None or temporary):
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _sync_folder(folder: Path) -> None:
    """Sync a folder's entries to disk, as fsync syncs a file's bytes."""
    if not hasattr(os, "O_DIRECTORY"):  # Windows cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
