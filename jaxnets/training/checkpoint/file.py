"""One checkpoint in one safetensors file, which carries the SHA-256 of itself."""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import jax
import numpy as np

from jaxnets.files import regular_file, written_whole
from jaxnets.training.checkpoint.errors import CheckpointError, DamagedError
from jaxnets.training.checkpoint.leaves import Leaf

FORMAT = "jaxnets checkpoint 1"
ZEROS = b"0" * 64  # stand in the place of the SHA-256 while it is taken
# Quotes inside a JSON string are escaped, so only the entry itself can look like this.
DIGEST = re.compile(rb'"sha256":"([0-9a-f]{64})"')
HEADER_LIMIT = 10**8  # bytes: what the safetensors library accepts
PIECE = 2**20  # bytes read at once
CODES = {
    "bool": "BOOL", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64",
    "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64",
    "float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64", "complex64": "C64",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
DTYPES = {code: dtype for dtype, code in CODES.items()}


class Content(NamedTuple):
    """What a checkpoint file holds: `arrays` are its leaves by their paths."""

    step: int
    metadata: dict[str, Any]
    score: float | None
    leaves: dict[str, Leaf]
    arrays: dict[str, Any]


def require_storable(leaves: Mapping[str, Leaf]) -> None:
    """Refuse dtypes that the format has no code for."""
    if other := {name: leaf.dtype for name, leaf in leaves.items() if leaf.dtype not in CODES}:
        raise CheckpointError(
            f"a checkpoint expects leaves of {', '.join(CODES)}, but got {other}; cast them"
        )


def write(path: Path, content: Content) -> None:
    """Write a checkpoint, whole or not at all, while a second thread hashes it.

    Raises:
      OSError: the system's own.
    """
    names = sorted(content.arrays, key=lambda name: (-content.arrays[name].itemsize, name))
    # Reading the arrays' own memory: a copy of them would cost as much as the disk.
    chunks = [np.asarray(content.arrays[name], order="C").reshape(-1) for name in names]
    header = _header(content, names)
    pieces = [header, *(chunk.view(np.uint8) for chunk in chunks)]
    with written_whole(path) as file, ThreadPoolExecutor(1) as thread:
        digest = thread.submit(_sha256, pieces)
        file.writelines(pieces)
        file.seek(_place_of_digest(header))
        file.write(digest.result().encode())


def read(path: Path) -> Content:
    """The content of a checkpoint file; nothing of it is believed before its SHA-256 is right.

    Raises:
      DamagedError: the file cannot be read, or is not what was written.
      CheckpointError: a later version wrote it.
    """
    from safetensors import SafetensorError, deserialize

    try:
        with regular_file(path) as file:
            header = _checked_header(file)
            file.seek(0)
            tensors = dict(deserialize(file.read()))
        return _content(json.loads(header[8:])["__metadata__"], tensors, path)
    except (OSError, ValueError, LookupError, RecursionError, SafetensorError) as error:
        raise DamagedError(f"{path} cannot be read: {error}") from error


def _header(content: Content, names: list[str]) -> bytes:
    """The length, the JSON and the padding that a safetensors file begins with."""
    keys = {name: leaf.key for name, leaf in content.leaves.items() if leaf.key is not None}
    metadata = {
        "format": FORMAT,
        "step": str(content.step),
        "metadata": json.dumps(content.metadata),
        "score": json.dumps(content.score),
        "keys": json.dumps(keys),
        "versions": json.dumps(_versions()),
        "sha256": ZEROS.decode(),
    }
    entries: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name in names:
        leaf, start = content.leaves[name], end
        end += content.arrays[name].nbytes
        entries[name] = {
            "dtype": CODES[leaf.dtype],
            "shape": leaf.shape,
            "data_offsets": (start, end),
        }
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the tensors begin at a multiple of eight
    return len(text).to_bytes(8, "little") + text


def _checked_header(file: BinaryIO) -> bytes:
    """The length and the JSON that a file begins with, if the whole of it has its SHA-256."""
    size = os.fstat(file.fileno()).st_size
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(size - 8, HEADER_LIMIT):
        raise ValueError(f"it has {size} bytes, and its header claims {length}")
    header = start + file.read(length)
    place = _place_of_digest(header)
    stated = header[place : place + 64]
    digest = _sha256(chain([header[:place], ZEROS, header[place + 64 :]], _rest(file)))
    if digest.encode() != stated:
        raise ValueError(f"its SHA-256 is {digest}, but {stated.decode()} was written")
    return header


def _place_of_digest(header: bytes) -> int:
    places = [match.start(1) for match in DIGEST.finditer(header)]
    if len(places) != 1:
        raise ValueError("its header states no SHA-256 of its own; it is no checkpoint of jaxnets")
    return places[0]


def _sha256(pieces: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def _rest(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE):
        yield piece


def _content(metadata: dict[str, str], tensors: dict[str, Any], path: Path) -> Content:
    if metadata["format"] != FORMAT:
        raise CheckpointError(
            f"{path} expects a reader of {metadata['format']!r}, but this one reads {FORMAT!r}; "
            f"use the versions that wrote it: {metadata.get('versions')}"
        )
    keys, arrays, leaves = json.loads(metadata["keys"]), {}, {}
    score, user = json.loads(metadata["score"]), json.loads(metadata["metadata"])
    if not (isinstance(keys, dict) and isinstance(user, dict) and isinstance(score, float | None)):
        raise ValueError("its header is not that of a checkpoint")
    for name, tensor in tensors.items():
        dtype, shape = DTYPES[tensor["dtype"]], tuple(tensor["shape"])
        arrays[name] = np.frombuffer(tensor["data"], np.dtype(dtype)).reshape(shape)
        leaves[name] = Leaf(dtype, shape, keys.get(name))
    return Content(int(metadata["step"]), user, score, leaves, arrays)


def _versions() -> dict[str, str]:
    try:
        own = version("jaxnets")
    except PackageNotFoundError:  # used from its sources
        own = "not installed"
    return {"jaxnets": own, "jax": jax.__version__, "numpy": np.__version__}
