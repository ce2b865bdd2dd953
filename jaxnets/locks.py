"""The one lock there is: on an open file, and released when its process ends, however it ends.

POSIX systems have `flock`. Windows locks a range of bytes instead, which nobody else may then read
or write; there it is one byte beyond any content.
"""

import os
import warnings
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
    import msvcrt

BEYOND = 2**30
POSIX = fcntl is not None  # elsewhere an open file can neither be renamed nor removed

_held: dict[tuple[int, int], int] = {}  # device and inode: descriptor; until the process ends


def lock(descriptor: int) -> bool:
    """Lock an open file until it is closed; False, at once, where another has locked it.

    Raises:
      OSError: the file system has no locks.
    """
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            position = os.lseek(descriptor, 0, os.SEEK_CUR)
            os.lseek(descriptor, BEYOND, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # pyright: ignore
            os.lseek(descriptor, position, os.SEEK_SET)
    except (BlockingIOError, PermissionError):  # flock's, and that of Windows
        return False
    return True


def hold(path: str | Path) -> bool:
    """Lock the file at `path`, which is created if need be, until this process ends.

    False where another process holds it. Falls back to no lock, with a warning, on a file system
    that has none.

    Raises:
      OSError: the file cannot be created.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    status = os.fstat(descriptor)
    if (status.st_dev, status.st_ino) in _held:
        os.close(descriptor)
        return True
    try:
        locked = lock(descriptor)
    except OSError as error:
        warnings.warn(
            f"{path} cannot be locked ({error.strerror}); see that no other process uses it",
            stacklevel=2,
        )
        locked = True
    if locked:
        _held[status.st_dev, status.st_ino] = descriptor
    else:
        os.close(descriptor)
    return locked
