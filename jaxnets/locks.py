"""File locks, which the operating system releases when the process ends for any reason.

POSIX systems have `flock`. Windows locks a range of bytes, which other processes can then neither
read nor write; there one byte beyond the content is locked.
"""

import os
import warnings
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

LOCK_OFFSET = 2**30
POSIX = fcntl is not None  # on Windows an open file can neither be renamed nor removed

_held_locks: dict[tuple[int, int], int] = {}  # (device, inode): descriptor


def lock(descriptor: int) -> bool:
    """Lock an open file until it is closed; returns False immediately if it is locked already.

    Raises:
      OSError: the file system has no locks.
    """
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            position = os.lseek(descriptor, 0, os.SEEK_CUR)
            os.lseek(descriptor, LOCK_OFFSET, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # pyright: ignore
            os.lseek(descriptor, position, os.SEEK_SET)
    except (BlockingIOError, PermissionError):  # from flock, and from Windows
        return False
    return True


def hold(path: str | Path) -> bool:
    """Lock the file at `path`, created if missing, until this process ends.

    Returns False if another process holds the lock. On a file system without locks, warns and
    returns True.

    Raises:
      OSError: the file cannot be created.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    status = os.fstat(descriptor)
    if (status.st_dev, status.st_ino) in _held_locks:
        os.close(descriptor)
        return True
    try:
        locked = lock(descriptor)
    except OSError as error:
        warnings.warn(
            f"{path} cannot be locked ({error.strerror}); make sure that no other process uses it",
            stacklevel=2,
        )
        locked = True
    if locked:
        _held_locks[status.st_dev, status.st_ino] = descriptor
    else:
        os.close(descriptor)
    return locked
