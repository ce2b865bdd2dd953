"""The IDX format of MNIST, bytes only, read from files that may be damaged or hostile.

A file is two zero bytes, a type code, the rank, a big-endian 32-bit length for each axis, and the
values, last axis fastest. Source: http://yann.lecun.com/exdb/mnist/.
"""

import gzip
import hashlib
import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from jaxnets.data.dataset import DataError, read_only
from jaxnets.files import regular_file
from jaxnets.messages import printable

UINT8 = 0x08
LIMIT = 2**30  # bytes: no set for memory is so large, but a small .gz can unpack to far more
CHUNK = 2**20  # bytes


def read(path: Path, rank: int) -> tuple[np.ndarray, str]:
    """The uint8 array of `rank` axes in `path` (unpacked if named .gz), and its content's SHA-256.

    Raises DataError if the file cannot be read, or is not what its own header announces.
    """
    try:
        with regular_file(path) as packed:
            file = gzip.GzipFile(fileobj=packed) if path.suffix == ".gz" else packed
            header = file.read(4 + 4 * rank)
            shape = _shape(header, rank, path)
            content = header + _at_most(file, math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{printable(path)} cannot be read: {printable(error)}.") from error
    values, announced = len(content) - len(header), math.prod(shape)
    if values != announced:
        found = "more" if values > announced else f"only {values}"
        raise DataError(
            f"{printable(path)} announces {announced} values, {shape}, but holds {found}."
        )
    array = np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)
    return read_only(array), hashlib.sha256(content).hexdigest()


def _shape(header: bytes, rank: int, path: Path) -> tuple[int, ...]:
    expected = bytes([0, 0, UINT8, rank])
    if header[:4] != expected:
        raise DataError(
            f"{printable(path)} begins with the bytes {header[:4].hex(' ') or '(none)'}, but an IDX "
            f"file of unsigned bytes with {rank} axes begins with {expected.hex(' ')}."
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
