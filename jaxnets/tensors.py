"""The safetensors format: named arrays as the bytes of a file, and back from bytes of any origin.

Source: https://github.com/huggingface/safetensors. The library reads; to write, it would copy every
array twice, so here a header goes before the arrays' own memory.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

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
      ValueError: the format has no code for the dtype of an array.
    """
    if other := {name: str(a.dtype) for name, a in arrays.items() if a.dtype.name not in DTYPES}:
        raise ValueError(f"safetensors expects {', '.join(DTYPES)}, but got {other}; cast them")
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    pieces, end = [], 0
    # The widest dtype first, so that every array begins at a multiple of its own width.
    for name in sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name)):
        array, start = np.asarray(arrays[name], order="C"), end
        end += array.nbytes
        shape, code = array.shape, DTYPES[array.dtype.name]
        header[name] = {"dtype": code, "shape": shape, "data_offsets": (start, end)}
        pieces.append(array.reshape(-1).view(np.uint8))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little") + text, *pieces]


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
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    except SafetensorError as error:
        raise ValueError(str(error)) from error
    return Tensors(arrays, header.get("__metadata__") or {})


def _array(tensor: dict[str, Any]) -> np.ndarray:
    return np.frombuffer(tensor["data"], CODES[tensor["dtype"]]).reshape(tensor["shape"])
