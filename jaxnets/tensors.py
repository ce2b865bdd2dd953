"""The safetensors format: writes named arrays as bytes, and reads untrusted bytes.

Source: https://github.com/huggingface/safetensors. Reading uses the safetensors library. Its writer
would copy every array twice, so `to_buffers` returns a header and the arrays' own buffers instead.
"""

import json
import os
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnets.json_files import decode

METADATA = "__metadata__"  # the entry of the header that is not an array
HEADER_LIMIT = 10**8  # bytes, as in the safetensors library
DTYPES = {
    "bool": "BOOL", "int8": "I8", "int16": "I16", "int32": "I32", "int64": "I64",
    "uint8": "U8", "uint16": "U16", "uint32": "U32", "uint64": "U64", "float16": "F16",
    "bfloat16": "BF16", "float32": "F32", "float64": "F64", "complex64": "C64",
    "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2",
}  # fmt: skip
CODES = {code: jnp.dtype(name) for name, code in DTYPES.items()}


class Tensors(NamedTuple):
    """The content of a file: arrays by name, and metadata strings by name."""

    arrays: dict[str, np.ndarray]
    metadata: dict[str, str]


def to_buffers(arrays: Mapping[str, Any], metadata: Mapping[str, str]) -> list[Any]:
    """The content of a file as a list of buffers: the header, then every array.

    Raises:
      ValueError: the format does not have an array's dtype, a name is reserved, or a metadata
        value is not a string.
    """
    if invalid := {name: str(a.dtype) for name, a in arrays.items() if a.dtype.name not in DTYPES}:
        raise ValueError(f"safetensors expects {', '.join(DTYPES)}, but got {invalid}; cast them")
    if METADATA in arrays:
        raise ValueError(f"safetensors reserves the name {METADATA!r}; choose another name")
    if invalid := {n: v for n, v in metadata.items() if not isinstance(v, str)}:
        raise ValueError(f"safetensors expects strings as metadata, but got {invalid}; use str()")
    header: dict[str, Any] = {METADATA: dict(metadata)}
    buffers, end = [], 0
    # The widest dtype first, so that every array starts at a multiple of its item size.
    for name in sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name)):
        little_endian = arrays[name].dtype.newbyteorder("<")
        array, start = np.asarray(arrays[name], little_endian, order="C"), end
        end += array.nbytes
        shape, code = array.shape, DTYPES[array.dtype.name]
        header[name] = {"dtype": code, "shape": shape, "data_offsets": (start, end)}
        buffers.append(array.reshape(-1).view(np.uint8))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little") + text, *buffers]


def read_header(file: BinaryIO) -> bytes:
    """The first bytes of an open file: the length of the header, and the header.

    Raises:
      ValueError: the file is shorter or longer than its header says; nothing else is read.
    """
    size, start = os.fstat(file.fileno()).st_size, file.read(8)
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(size - 8, HEADER_LIMIT):
        raise ValueError(f"it has {size} bytes, but says that its header has {length}")
    header = start + file.read(length)
    if size != (expected := len(header) + _data_bytes(header)):
        raise ValueError(f"it has {size} bytes, but its header says {expected}")
    return header


def from_bytes(content: bytes) -> Tensors:
    """The arrays and metadata in the bytes of a file.

    Raises:
      ValueError: they are not a valid safetensors file, or have a dtype that NumPy does not have.
    """
    from safetensors import SafetensorError, deserialize

    try:
        tensors = dict(deserialize(content))
        if unsupported := {tensor["dtype"] for tensor in tensors.values()} - CODES.keys():
            raise ValueError(f"arrays of dtype {', '.join(unsupported)}, which NumPy does not have")
        arrays = {name: _array(tensor) for name, tensor in tensors.items()}
        header = decode(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except (SafetensorError, OverflowError) as error:
        raise ValueError(str(error)) from error
    return Tensors(arrays, header.get(METADATA) or {})


def _data_bytes(header: bytes) -> int:
    """The number of data bytes according to the header."""
    try:
        entries = decode(header[8:])
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != METADATA]
        return max(ends, default=0)
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError("its header is not a safetensors header") from error


def _array(tensor: dict[str, Any]) -> np.ndarray:
    data, dtype = tensor["data"], CODES[tensor["dtype"]]
    if dtype.kind == "b" and np.frombuffer(data, np.uint8).max(initial=0) > 1:
        raise ValueError("an array of booleans has bytes other than 0 and 1")
    return np.frombuffer(data, dtype).reshape(tensor["shape"])
