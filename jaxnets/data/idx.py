"""Reads MNIST's IDX format (unsigned bytes only) from files that may be damaged or malicious.

A file has two zero bytes, a type code, the rank, a big-endian 32-bit length per axis, and the
values in row-major order. Source: http://yann.lecun.com/exdb/mnist/.
"""

import gzip
import hashlib
import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from jaxnets.data.dataset import read_only
from jaxnets.errors import DataError
from jaxnets.files import regular_file
from jaxnets.messages import printable

UINT8 = 0x08
LIMIT = 2**30  # bytes, unpacked; a small malicious .gz can unpack to far more
CHUNK = 2**20  # bytes
GZIP = 31  # zlib's wbits for the gzip format
PADDING = 2**16  # bytes by which a .gz may be longer than its content: header and trailing zeros


def read(path: Path, rank: int) -> tuple[np.ndarray, str]:
    """The uint8 array with `rank` axes in `path` (unpacked if named .gz), and its SHA-256.

    Raises DataError if the file cannot be read, or does not have the size in its header.
    """
    try:
        with regular_file(path) as packed:
            is_gz = path.suffix == ".gz"
            shape = _shape(_first_bytes(packed, 4 + 4 * rank, is_gz), rank, path)
            expected = 4 + 4 * rank + math.prod(shape)
            _check_packed_size(packed, expected, is_gz)
            file = gzip.GzipFile(fileobj=packed) if is_gz else packed
            content = _read_at_most(file, expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{printable(path)} cannot be read: {printable(error)}.") from error
    if len(content) != expected:
        values = math.prod(shape)
        actual = len(content) - expected + values
        got = "more" if actual > values else f"only {actual}"
        raise DataError(
            f"{printable(path)} has {got} values, but its header says {values}, {shape}."
        )
    array = np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
    return read_only(array), hashlib.sha256(content).hexdigest()


def _first_bytes(packed: BinaryIO, length: int, is_gz: bool) -> bytes:
    """The first bytes of the content, without unpacking the rest."""
    start = packed.read(CHUNK)
    packed.seek(0)
    return zlib.decompressobj(GZIP).decompress(start, length) if is_gz else start[:length]


def _check_packed_size(packed: BinaryIO, expected: int, is_gz: bool) -> None:
    """Raise if a .gz is longer than its content: gzip skips trailing zeros one by one."""
    size = os.fstat(packed.fileno()).st_size
    if is_gz and size > expected + expected // 1_000 + PADDING:
        raise OSError(f"it has {size} bytes, but unpacks to only {expected}")


def _shape(header: bytes, rank: int, path: Path) -> tuple[int, ...]:
    expected = bytes([0, 0, UINT8, rank])
    if header[:4] != expected:
        raise DataError(
            f"{printable(path)} starts with the bytes {header[:4].hex(' ') or '(none)'}, but an "
            f"IDX file of unsigned bytes with {rank} axes starts with {expected.hex(' ')}."
        )
    if len(header) < 4 + 4 * rank:
        raise DataError(f"{printable(path)} ends within its header, after {len(header)} bytes.")
    shape = struct.unpack(f">{rank}I", header[4:])
    if math.prod(shape) > LIMIT:
        raise DataError(
            f"{printable(path)} has the shape {shape}, but the limit is {LIMIT} values."
        )
    return shape


def _read_at_most(file: BinaryIO | gzip.GzipFile, limit: int) -> bytes:
    """The rest of the file up to a limit; in chunks, since one read would allocate the limit."""
    chunks = []
    while limit and (chunk := file.read(min(limit, CHUNK))):
        chunks.append(chunk)
        limit -= len(chunk)
    return b"".join(chunks)
