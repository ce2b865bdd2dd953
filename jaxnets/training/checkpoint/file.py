"""One checkpoint in one safetensors file, which carries the SHA-256 of itself."""

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
ZEROS = b"0" * 64  # stand in the place of the SHA-256 while it is taken
# Quotes inside a JSON string are escaped, so only the entry itself can look like this.
DIGEST = re.compile(rb'"sha256":"([0-9a-f]{64})"')
PIECE = 2**20  # bytes read at once


class Content(NamedTuple):
    """What a checkpoint file holds: `arrays` are its leaves by their paths."""

    step: int
    metadata: dict[str, Any]
    score: float | None
    leaves: dict[str, Leaf]
    arrays: dict[str, Any]


def write(path: Path, content: Content) -> None:
    """Write a checkpoint, whole or not at all, while a second thread hashes it.

    Raises:
      OSError: the system's own.
    """
    buffers = tensors.to_buffers(content.arrays, _metadata(content))
    place = _place_of_digest(buffers[0])
    with atomic_write(path) as file, ThreadPoolExecutor(1) as thread:
        digest = thread.submit(sha256, buffers)
        file.writelines(buffers)
        file.seek(place)
        file.write(digest.result().encode())


def read(path: Path) -> Content:
    """The content of a checkpoint file; nothing of it is believed before its SHA-256 is right.

    Raises:
      DamagedError: the file cannot be read, or is not what was written.
      CheckpointError: a later version wrote it.
    """
    try:
        with regular_file(path) as file:
            _check_digest(file)
            file.seek(0)
            found = tensors.from_bytes(file.read())
        return _content(found, path)
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
    """Refuse a file whose SHA-256 is not the one in its header; holds no more than that header."""
    header = tensors.read_header(file)
    place = _place_of_digest(header)
    stated = header[place : place + 64]
    digest = sha256(chain([header[:place], ZEROS, header[place + 64 :]], pieces(file)))
    if digest.encode() != stated:
        raise ValueError(f"its SHA-256 is {digest}, but {stated.decode()} was written")


def _place_of_digest(header: bytes) -> int:
    places = [match.start(1) for match in DIGEST.finditer(header)]
    if len(places) != 1:
        raise ValueError("its header states no SHA-256 of its own; it is no checkpoint of jaxnets")
    return places[0]


def sha256(buffers: Iterable[Any]) -> str:
    """The SHA-256 of buffers of bytes one after another, as 64 digits."""
    digest = hashlib.sha256()
    for buffer in buffers:
        digest.update(buffer)
    return digest.hexdigest()


def pieces(file: BinaryIO) -> Iterator[bytes]:
    """What is left to read of a file, never much of it at once."""
    while piece := file.read(PIECE):
        yield piece


def _content(found: Tensors, path: Path) -> Content:
    arrays, metadata = found
    if metadata["format"] != FORMAT:
        raise CheckpointError(
            f"{printable(path)} is a {printable(metadata['format'])!r}, but this jaxnets reads "
            f"{FORMAT!r}; use the versions that wrote it: {printable(metadata.get('versions'))}"
        )
    # A score may be NaN, and so may what the caller added.
    user, score, keys = (decode(metadata[n], nonfinite=True) for n in ("metadata", "score", "keys"))
    of_keys = isinstance(keys, dict) and all(isinstance(key, str) for key in keys.values())
    if not (isinstance(user, dict) and isinstance(score, float | None) and of_keys):
        raise ValueError("its metadata is not that of a checkpoint")
    leaves = {n: Leaf(a.dtype.name, a.shape, keys.get(n)) for n, a in arrays.items()}
    return Content(int(metadata["step"]), user, score, leaves, arrays)


def _versions() -> dict[str, str]:
    try:
        own = version("jaxnets")
    except PackageNotFoundError:  # used from its sources
        own = "not installed"
    return {"jaxnets": own, "jax": jax.__version__, "numpy": np.__version__}
