"""Downloads the zip of a data set, and unpacks its two files, with limits and checksums."""

import lzma
import zipfile
import zlib
from io import BytesIO
from pathlib import Path

from jaxnets.data.download import ATTEMPTS, RATE, TIMEOUT, get, save
from jaxnets.data.series.catalogue import Archive, SeriesFile
from jaxnets.data.series.files import checksum
from jaxnets.messages import printable

LIMIT = 2**26  # bytes of a zip; those of the catalogue have less than 2**23
FAILURES = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, ValueError)
FAILURES += (KeyError, RuntimeError, NotImplementedError)  # encrypted, or an unknown method


def fetch(archive: Archive, folder: Path, *, timeout: float = TIMEOUT, rate: float = RATE) -> None:
    """Download the zip, and write its two files into `folder` after verifying their SHA-256.

    Args:
      archive: the data set.
      folder: the destination, created if missing.
      timeout: seconds to connect, and to wait for more data.
      rate: minimum bytes per second; the body may take `timeout` plus the bytes of the
        unpacked text / `rate`.

    Raises:
      ConnectionError: the archive did not return the files; lists the errors.
      DataError: a file cannot be written.
    """
    url = archive.address + archive.zip_name
    seconds = timeout + (archive.train.size + archive.test.size) / rate
    reasons = []
    for _ in range(ATTEMPTS):
        try:
            texts = _unpack(get(url, LIMIT + 1, timeout, seconds), archive)
        except Exception as error:  # http.client, urllib, ssl and zipfile have no common base class
            reasons.append(printable(error) or f"no answer within {timeout:g} s")
        else:
            for file, text in texts.items():
                save(text, folder / file.name)
            return
    raise ConnectionError(f"{url}: {', then '.join(dict.fromkeys(reasons))}")


def _unpack(content: bytes, archive: Archive) -> dict[SeriesFile, bytes]:
    """The texts of the two files in a zip; nothing else in it is read, nor any path in it used."""
    if len(content) > LIMIT:
        raise ValueError(f"it has more than {LIMIT} bytes")
    try:
        with zipfile.ZipFile(BytesIO(content)) as packed:
            texts = {file: _read(packed, file) for file in archive.files}
    except FAILURES as error:
        raise ValueError(f"its zip cannot be read: {error}") from error
    for file, text in texts.items():
        if checksum(text) != file.sha256:
            raise ValueError(f"the SHA-256 of {file.name} is not the published one")
    return texts


def _read(packed: zipfile.ZipFile, file: SeriesFile) -> bytes:
    """The text of a file, with line feeds as line ends; at most twice its published size."""
    with packed.open(file.name) as member:
        return member.read(2 * file.size).replace(b"\r\n", b"\n")
