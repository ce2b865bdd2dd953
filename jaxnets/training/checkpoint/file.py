"""One checkpoint as one safetensors file, with its own SHA-256 in the header."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import jax
import numpy as np

from jaxnets import tensors
from jaxnets.errors import CheckpointError, DamagedError
from jaxnets.files import atomic_write, regular_file
from jaxnets.json_files import decode
from jaxnets.messages import printable
from jaxnets.tensors import Tensors
from jaxnets.training.checkpoint.leaves import Leaf

FORMAT = "jaxnets checkpoint 1"
ZEROS = b"0" * 64  # the placeholder of the SHA-256 while it is computed
# Quotes inside a JSON string are escaped, so that only the entry itself can match.
DIGEST = re.compile(rb'"sha256":"([0-9a-f]{64})"')
PIECE = 2**20  # bytes per read


class Content(NamedTuple):
    """The content of a checkpoint; `leaves` and `arrays` are keyed by the leaves' paths."""

    step: int
    metadata: dict[str, Any]
    score: float | None
    leaves: dict[str, Leaf]
    arrays: dict[str, Any]


def write(path: Path, content: Content) -> None:
    """Write a checkpoint atomically, while a second thread computes its SHA-256.

    Raises:
      OSError: the operating system's error.
    """
    buffers = tensors.to_buffers(content.arrays, _metadata(content))
    position = _digest_position(buffers[0])
    with atomic_write(path) as file, ThreadPoolExecutor(1) as thread:
        digest = thread.submit(sha256, buffers)
        file.writelines(buffers)
        file.seek(position)
        file.write(digest.result().encode())


def read(path: Path) -> Content:
    """The content of a checkpoint file; its SHA-256 is verified first.

    Raises:
      DamagedError: the file cannot be read, or is not as it was written.
      CheckpointError: the file has the format of another version.
    """
    try:
        with regular_file(path) as file:
            _check_digest(file)
            file.seek(0)
            stored = tensors.from_bytes(file.read())
        return _content(stored, path)
    except (OSError, ValueError, LookupError) as error:
        raise DamagedError(f"{printable(path)} cannot be read: {printable(error)}") from error


def _metadata(content: Content) -> dict[str, str]:
    keys = {name: leaf.key for name, leaf in content.leaves.items() if leaf.key is not None}
    return {
        "format": FORMAT,
        "step": str(content.step),
        "metadata": json.dumps(content.metadata),
        "score": json.dumps(content.score),
        "keys": json.dumps(keys),
        "versions": json.dumps(_versions()),
        "sha256": ZEROS.decode(),
    }


def _check_digest(file: BinaryIO) -> None:
    """Refuse a file whose SHA-256 is not the one in its header; keeps only the header in memory."""
    header = tensors.read_header(file)
    start = _digest_position(header)
    expected = header[start : start + 64]
    digest = sha256(chain([header[:start], ZEROS, header[start + 64 :]], pieces(file)))
    if digest.encode() != expected:
        raise ValueError(f"its SHA-256 is {digest}, but {expected.decode()} was written")


def _digest_position(header: bytes) -> int:
    positions = [match.start(1) for match in DIGEST.finditer(header)]
    if len(positions) != 1:
        raise ValueError("its header has no SHA-256; it is not a checkpoint of jaxnets")
    return positions[0]


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


def _content(stored: Tensors, path: Path) -> Content:
    arrays, metadata = stored
    if metadata["format"] != FORMAT:
        raise CheckpointError(
            f"{printable(path)} is a {printable(metadata['format'])!r}, but this jaxnets reads "
            f"{FORMAT!r}; use the versions that wrote it: {printable(metadata.get('versions'))}"
        )
    # The score and the user's metadata may hold NaN.
    user, score, keys = (decode(metadata[n], nonfinite=True) for n in ("metadata", "score", "keys"))
    valid_keys = isinstance(keys, dict) and all(isinstance(key, str) for key in keys.values())
    if not (isinstance(user, dict) and isinstance(score, float | None) and valid_keys):
        raise ValueError("its metadata is not that of a checkpoint")
    leaves = {n: Leaf(a.dtype.name, a.shape, keys.get(n)) for n, a in arrays.items()}
    return Content(int(metadata["step"]), user, score, leaves, arrays)


def _versions() -> dict[str, str]:
    try:
        jaxnets = version("jaxnets")
    except PackageNotFoundError:  # imported from the source tree
        jaxnets = "not installed"
    return {"jaxnets": jaxnets, "jax": jax.__version__, "numpy": np.__version__}
