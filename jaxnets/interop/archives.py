"""Zip files that are only containers, like those of PyTorch and Keras: nothing is compressed."""

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO


@contextmanager
def stored_zip(file: BinaryIO, writer: str) -> Iterator[tuple[zipfile.ZipFile, list[str]]]:
    """The archive in an open file, and the names in it.

    A zip bomb, which is small but unpacks to far more, is refused before anything is read.

    Args:
      file: a regular file, open for reading.
      writer: what wrote it, for messages.

    Raises:
      ValueError: a compressed entry, or entries that overlap.
      zipfile.BadZipFile: not a zip, or a damaged one; reading checks each entry's CRC-32.
    """
    with zipfile.ZipFile(file) as archive:
        entries, size = archive.infolist(), os.fstat(file.fileno()).st_size
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError(f"its zip is compressed, which {writer} never does")
        if sum(entry.file_size for entry in entries) > size:
            raise ValueError(f"its zip would unpack to more than its {size} bytes")
        yield archive, [entry.filename for entry in entries]
