"""The safetensors format: named arrays as the bytes of a file, and back from bytes of any origin.

Source: https://github.com/huggingface/safetensors. The library reads; to write, it would copy every
array twice, so here a header goes before the arrays' own memory.
"""

import json
import os
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnets.json_files import decode

METADATA = "__metadata__"  # the header's entry that is no array
HEADER_LIMIT = 10**8  # bytes: the library reads no longer one
DTYPES = {
    "bool": "BOOL", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64",
    "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64", "float16": "F16",
    "bfloat16": "BF16", "float32": "F32", "float64": "F64", "complex64": "C64",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
CODES = {code: jnp.dtype(name) for name, code in DTYPES.items()}


class Tensors(NamedTuple):
    """What a file holds: arrays by name, and strings by name."""

    arrays: dict[str, np.ndarray]
    metadata: dict[str, str]


def to_pieces(arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> list[Any]:
    """The header and then every array as buffers of bytes, which joined are a file.

    Raises:
      ValueError: the format has no code for the dtype of an array, or no place for a name or for
        metadata that is no text.
    """
    if other := {name: str(a.dtype) for name, a in arrays.items() if a.dtype.name not in DTYPES}:
        raise ValueError(f"safetensors expects {', '.join(DTYPES)}, but got {other}; cast them")
    if METADATA in arrays:
        raise ValueError(f"safetensors keeps the name {METADATA!r} for itself; choose another name")
    if other := {n: v for n, v in metadata.items() if not isinstance(v, str)}:
        raise ValueError(f"safetensors expects strings as metadata, but got {other}; use str(...)")
    header: dict[str, Any] = {METADATA: dict(metadata)}
    pieces, end = [], 0
    # The widest dtype first, so that every array begins at a multiple of its own width.
    for name in sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name)):
        little = arrays[name].dtype.newbyteorder("<")  # which NumPy's own arrays need not be
        array, start = np.asarray(arrays[name], little, order="C"), end
        end += array.nbytes
        shape, code = array.shape, DTYPES[array.dtype.name]
        header[name] = {"dtype": code, "shape": shape, "data_offsets": (start, end)}
        pieces.append(array.reshape(-1).view(np.uint8))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little") + text, *pieces]


def read_header(file: BinaryIO) -> bytes:
    """The first bytes of an open file: the length of the header, and the header.

    Raises:
      ValueError: the file is shorter or longer than it says, and no more of it was read.
    """
    size, start = os.fstat(file.fileno()).st_size, file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(size - 8, HEADER_LIMIT):
        raise ValueError(f"it has {size} bytes, and its header claims {length}")
    header = start + file.read(length)
    if size != (announced := len(header) + _data_bytes(header)):
        raise ValueError(f"it has {size} bytes, and its header announces {announced}")
    return header


def from_bytes(content: bytes) -> Tensors:
    """What the bytes of a file hold.

    Raises:
      ValueError: they are no safetensors file, or hold a dtype that NumPy does not know.
    """
    from safetensors import SafetensorError, deserialize

    try:
        tensors = dict(deserialize(content))
        if unknown := {tensor["dtype"] for tensor in tensors.values()} - CODES.keys():
            raise ValueError(f"arrays of dtype {', '.join(unknown)}, which NumPy does not know")
        arrays = {name: _array(tensor) for name, tensor in tensors.items()}
        header = decode(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (SafetensorError, OverflowError) as error:
        raise ValueError(str(error)) from error
    return Tensors(arrays, header.get(METADATA) or {})


def _data_bytes(header: bytes) -> int:
    """How many bytes of data a header announces."""
    try:
        entries = decode(header[8:])
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != METADATA]
        return max(ends, default=0)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError("its header is not that of a safetensors file") from error


def _array(tensor: dict[str, Any]) -> np.ndarray:
    data, dtype = tensor["data"], CODES[tensor["dtype"]]
    if dtype.kind == "b" and np.frombuffer(data, np.uint8).max(initial=0) > 1:
        raise ValueError("an array of booleans holds other bytes than 0 and 1")
    return np.frombuffer(data, dtype).reshape(tensor["shape"])
