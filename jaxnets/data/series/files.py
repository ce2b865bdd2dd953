"""Reads files of labelled time series, which may be damaged or malicious."""

import gzip
import hashlib
import os
import zlib
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from jaxnets.data.series import arff, ts
from jaxnets.data.series.cases import Invalid, Series
from jaxnets.errors import DataError
from jaxnets.files import regular_file
from jaxnets.messages import printable

LIMIT = 2**29  # bytes of text; a small malicious .gz can unpack to far more
MOST_UNPACKED = 100  # times its size that a .gz may unpack to; text of numbers unpacks to 3 times
CHUNK = 2**20  # bytes
PARSERS = {".ts": ts.parse, ".arff": arff.parse}
CURE = "correct the file, or use another"


def read_series(path: str | os.PathLike[str]) -> Series:
    """The labelled time series in a .ts or .arff file of the UCR and UEA archives, or its .gz.

    Univariate or multivariate; series of unequal lengths are padded with zeros. Missing values,
    time stamps and regression targets are refused. The formats have no count of the cases: a file
    that was cut between two lines is read as a shorter one.

    Raises:
      DataError: the file cannot be read, or is not such a file; says where it is wrong.
    """
    path = Path(path)
    parser = PARSERS.get(_text_suffix(path))
    if parser is None:
        raise DataError(
            f"read_series expects the name of a .ts or .arff file, or of its .gz, but got "
            f"{printable(path)}; rename it"
        )
    return parse(path, read_text(path), CURE)


def parse(path: Path, text: bytes, cure: str) -> Series:
    """The series in the text of a file, in the format of its suffix; an error ends in `cure`."""
    try:
        return PARSERS[_text_suffix(path)](iter(BytesIO(text)))
    except Invalid as wrong:
        raise DataError(f"{printable(path)} cannot be read: {printable(wrong)}; {cure}") from None


def read_text(path: Path) -> bytes:
    """The content of a file, unpacked if it is named .gz; at most `LIMIT` bytes."""
    try:
        with regular_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > LIMIT:
                raise OSError(f"it has {size} bytes, but the limit is {LIMIT}")
            if path.suffix != ".gz":
                return _read_at_most(file, LIMIT)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _read_at_most(unpacked, min(LIMIT, MOST_UNPACKED * size + CHUNK))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{printable(path)} cannot be read: {printable(error)}; {CURE}") from error


def checksum(text: bytes) -> str:
    """The SHA-256 of the text, with line feeds as line ends."""
    return hashlib.sha256(text.replace(b"\r\n", b"\n")).hexdigest()


def _text_suffix(path: Path) -> str:
    """The suffix without .gz, in lower case."""
    return (Path(path.stem) if path.suffix == ".gz" else path).suffix.lower()


def _read_at_most(file: BinaryIO | gzip.GzipFile, limit: int) -> bytes:
    """The rest of the file; raises `OSError` if it has more bytes than the limit."""
    chunks, size = [], 0
    while chunk := file.read(CHUNK):
        size += len(chunk)
        if size > limit:
            raise OSError(f"it has more than {limit} bytes, unpacked")
        chunks.append(chunk)
    return b"".join(chunks)
