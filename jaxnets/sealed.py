"""A safetensors file with its own SHA-256 in the header, which is verified before it is used."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from jaxnets import tensors
from jaxnets.files import atomic_write, regular_file
from jaxnets.tensors import Tensors

ZEROS = b"0" * 64  # the placeholder of the SHA-256 while it is computed
# Quotes inside a JSON string are escaped, so that only the entry itself can match.
DIGEST = re.compile(rb'"sha256":"([0-9a-f]{64})"')
PIECE = 2**20  # bytes per read


def write(path: Path, arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    """Write a file atomically, while a second thread computes its SHA-256.

    The header's metadata gets the entry "sha256": that of the whole file with zeros in its place.

    Raises:
      OSError: the operating system's error.
      ValueError: as for `tensors.to_buffers`.
    """
    buffers = tensors.to_buffers(arrays, {**metadata, "sha256": ZEROS.decode()})
    position = _digest_position(buffers[0])
    with atomic_write(path) as file, ThreadPoolExecutor(1) as thread:
        digest = thread.submit(sha256, buffers)
        file.writelines(buffers)
        file.seek(position)
        file.write(digest.result().encode())


def read(path: Path) -> Tensors:
    """The content of a file; its SHA-256 is verified first, with only the header in memory.

    Raises:
      OSError: it cannot be read, or is not a regular file.
      ValueError: it is not as it was written.
    """
    with regular_file(path) as file:
        _check_digest(file)
        file.seek(0)
        return tensors.from_bytes(file.read())


def sha256(buffers: Iterable[Any]) -> str:
    """The SHA-256 of the concatenated buffers, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for buffer in buffers:
        digest.update(buffer)
    return digest.hexdigest()


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """The rest of a file in pieces of at most `PIECE` bytes."""
    while piece := file.read(PIECE):
        yield piece


def _check_digest(file: BinaryIO) -> None:
    """Refuse a file whose SHA-256 is not the one in its header."""
    header = tensors.read_header(file)
    start = _digest_position(header)
    expected = header[start : start + 64]
    digest = sha256(chain([header[:start], ZEROS, header[start + 64 :]], pieces(file)))
    if digest.encode() != expected:
        raise ValueError(f"its SHA-256 is {digest}, but {expected.decode()} was written")


def _digest_position(header: bytes) -> int:
    positions = [match.start(1) for match in DIGEST.finditer(header)]
    if len(positions) != 1:
        raise ValueError("its header has no SHA-256; it was not written by jaxnets")
    return positions[0]
