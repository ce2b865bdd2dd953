"""The IDX format of MNIST, bytes only, read from files that may be damaged or hostile.

A file is two zero bytes, a type code, the rank, a big-endian 32-bit length for each axis, and the
values, last axis fastest. Source: http://yann.lecun.com/exdb/mnist/.
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
LIMIT = 2**30  # bytes: no set for memory is so large, but a small .gz can unpack to far more
CHUNK = 2**20  # bytes
GZIP = 31  # zlib's number for its own format in a gzip file
PADDING = 2**16  # bytes that a .gz may be longer than its content: its own header, zeros at its end


def read(path: Path, rank: int) -> tuple[np.ndarray, str]:
    """The uint8 array of `rank` axes in `path` (unpacked if named .gz), and its content's SHA-256.

    Raises DataError if the file cannot be read, or is not what its own header announces.
    """
    try:
        with regular_file(path) as packed:
            is_gz = path.suffix == ".gz"
            shape = _shape(_beginning(packed, 4 + 4 * rank, is_gz), rank, path)
            announced = 4 + 4 * rank + math.prod(shape)
            _check_packed_size(packed, announced, is_gz)
            file = gzip.GzipFile(fileobj=packed) if is_gz else packed
            content = _at_most(file, announced + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{printable(path)} cannot be read: {printable(error)}.") from error
    if len(content) != announced:
        values, holds = math.prod(shape), len(content) - announced + math.prod(shape)
        found = "more" if holds > values else f"only {holds}"
        raise DataError(f"{printable(path)} announces {values} values, {shape}, but holds {found}.")
    array = np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
    return read_only(array), hashlib.sha256(content).hexdigest()


def _beginning(packed: BinaryIO, length: int, is_gz: bool) -> bytes:
    """The first bytes of the content; what follows in the file is not looked at."""
    start = packed.read(CHUNK)
    packed.seek(0)
    return zlib.decompressobj(GZIP).decompress(start, length) if is_gz else start[:length]


def _check_packed_size(packed: BinaryIO, announced: int, is_gz: bool) -> None:
    """Refuse a .gz that is longer than its content: gzip skips zeros at the end one by one."""
    size = os.fstat(packed.fileno()).st_size
    if is_gz and size > announced + announced // 1_000 + PADDING:
        raise OSError(f"it has {size} bytes, and unpacks to {announced}")


def _shape(header: bytes, rank: int, path: Path) -> tuple[int, ...]:
    expected = bytes([0, 0, UINT8, rank])
    if header[:4] != expected:
        raise DataError(
            f"{printable(path)} begins with the bytes {header[:4].hex(' ') or '(none)'}, but an "
            f"IDX file of unsigned bytes with {rank} axes begins with {expected.hex(' ')}."
        )
    if len(header) < 4 + 4 * rank:
        raise DataError(f"{printable(path)} ends within its header, after {len(header)} bytes.")
    shape = struct.unpack(f">{rank}I", header[4:])
    if math.prod(shape) > LIMIT:
        raise DataError(
            f"{printable(path)} announces {shape}, but no more than {LIMIT} values are read."
        )
    return shape


def _at_most(file: BinaryIO | gzip.GzipFile, limit: int) -> bytes:
    """The rest of the file up to a limit; in chunks, for one read would allocate the limit."""
    chunks = []
    while limit and (chunk := file.read(min(limit, CHUNK))):
        chunks.append(chunk)
        limit -= len(chunk)
    return b"".join(chunks)
