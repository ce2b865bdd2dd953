"""Reads the tensors of PyTorch's .pt and .pth files, without PyTorch and without running code.

A .pt file is a pickle, which could call any function, and the bytes of its tensors: in a zip, or
one after the other in files from before PyTorch 1.6. Before it is unpickled, the pickle is read as
a list of instructions, and refused unless all of them belong to a tree of tensors; the few names in
it stand for functions of this module.
"""

import io
import math
import pickle
import pickletools
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnets.errors import LayerError
from jaxnets.files import regular_file
from jaxnets.interop.archives import stored_zip
from jaxnets.messages import printable

PICKLE_LIMIT = 2**26  # bytes; those of the largest language models have about 2**18
LEGACY_START = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the pickle of a magic number
STORAGES = {
    "BFloat16Storage": jnp.bfloat16, "BoolStorage": "?", "ByteStorage": "u1", "CharStorage": "i1",
    "DoubleStorage": "f8", "FloatStorage": "f4", "HalfStorage": "f2", "IntStorage": "i4",
    "LongStorage": "i8", "ShortStorage": "i2",
}  # fmt: skip
OPCODES = frozenset(
    """
    PROTO STOP MARK GLOBAL REDUCE BUILD BINPERSID BINPUT LONG_BINPUT BINGET LONG_BINGET
    EMPTY_DICT EMPTY_LIST EMPTY_TUPLE SETITEM SETITEMS APPEND APPENDS TUPLE TUPLE1 TUPLE2 TUPLE3
    NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1 BINFLOAT BINUNICODE
    """.split()  # noqa: SIM905
)


class _Storage(NamedTuple):
    """Numbers in the file, before they are read."""

    dtype: np.dtype
    key: str
    size: int


class _Tensor(NamedTuple):
    """A view of a storage; offset and strides are in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Names(dict):
    """An `OrderedDict` in the file, which may have attributes, such as a state_dict's versions."""


def read(path: str | Path) -> dict[str, Any]:
    """The tree in a .pt file: dicts, lists, numbers and strings, with tensors as NumPy arrays.

    For files that hold more than a state_dict: `load(read("ckpt.pt")["model"], ...)`. Nothing in
    the file is run. bfloat16 tensors get JAX's bfloat16 dtype.

    Raises:
      LayerError: a file that is damaged, that holds anything else, such as a whole module, or that
        is not a .pt file.
      OSError: the file does not exist, or is not a regular file.
    """
    with regular_file(path) as file:
        try:
            tree = _read_zip(file) if _is_zip(file) else _read_legacy(file)
            if not isinstance(tree, dict):
                raise ValueError(f"it holds a {type(tree).__name__} and no dict of tensors")
        except Exception as error:  # an unpickler raises errors of any type
            raise LayerError(
                f"{printable(path)} cannot be read as PyTorch's weights: {_reason(error)}; nothing "
                "in it was run; save module.state_dict() alone by torch.save, or as .safetensors"
            ) from error
    return tree


def _reason(error: Exception) -> str:
    return printable(error if isinstance(error, ValueError) else f"it is damaged ({error!r})")


def _is_zip(file: BinaryIO) -> bool:
    start = file.read(4)
    file.seek(0)
    return start == b"PK\x03\x04"


def _read_zip(file: BinaryIO) -> Any:
    """The tree in a zip of `data.pkl` and `data/0`, `data/1`, ..., which are not compressed."""
    with stored_zip(file, "PyTorch") as (archive, names):
        roots = [name.removesuffix("data.pkl") for name in names if name.endswith("/data.pkl")]
        if len(roots) != 1:
            raise ValueError("its zip does not have one data.pkl")
        [root] = roots
        if archive.getinfo(f"{root}data.pkl").file_size > PICKLE_LIMIT:
            raise ValueError(f"its pickle has more than {PICKLE_LIMIT} bytes")
        order = archive.read(f"{root}byteorder") if f"{root}byteorder" in names else b"little"
        if order.strip() != b"little":
            raise ValueError(f"its numbers are {order!r}-endian")
        tree = _unpickled(io.BytesIO(archive.read(f"{root}data.pkl")))
        return _Arrays(lambda storage: archive.read(f"{root}data/{storage.key}")).of(tree)


def _read_legacy(file: BinaryIO) -> Any:
    """The tree in a sequence of pickles, the fourth of which holds it."""
    if file.read(len(LEGACY_START)) != LEGACY_START:
        raise ValueError("it is neither a zip nor an older .pt file")
    _, system, tree, keys = (_unpickled(file) for _ in range(4))
    if not system["little_endian"]:
        raise ValueError("its numbers are big-endian")
    buffers = {}
    sizes = {storage.key: storage for storage in _storages(tree)}
    for key in keys:
        count, itemsize = int.from_bytes(file.read(8), "little"), sizes[key].dtype.itemsize
        buffers[key] = file.read(min(count, sizes[key].size) * itemsize)
    return _Arrays(lambda storage: buffers[storage.key]).of(tree)


def _unpickled(file: BinaryIO) -> Any:
    """The tree of the next pickle in a file, with a `_Tensor` for each tensor."""
    start = file.tell()
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name == "GLOBAL":
            _stand_in(*str(argument).split(" ", 1))
        elif opcode.name not in OPCODES:
            raise ValueError(f"its pickle has a {opcode.name}, which no state_dict needs")
        elif opcode.name == "LONG_BINPUT" and int(argument or 0) > PICKLE_LIMIT:
            raise ValueError("its pickle asks for too much memory")
    end = file.tell()
    file.seek(start)
    return _Unpickler(io.BytesIO(file.read(end - start))).load()


class _Unpickler(pickle.Unpickler):
    """Unpickles trees of tensors; every name in the file stands for a function of this module."""

    def find_class(self, module: str, name: str) -> Any:
        return _stand_in(module, name)

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, size, *views = pid
        if kind != "storage" or any(view is not None for view in views):
            raise ValueError(f"its pickle refers to a {kind!r}")
        return _Storage(dtype(), str(key), _count(size))


def _stand_in(module: str, name: str) -> Callable[..., Any]:
    """A new function in place of the one that the pickle names; raises for all others."""
    if (module, name) == ("collections", "OrderedDict"):
        return lambda: _Names()
    if module == "torch" and name in STORAGES:
        return lambda: np.dtype(STORAGES[name])
    if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
        return lambda storage, offset, shape, strides, *_: _tensor(storage, offset, shape, strides)
    if (module, name) == ("torch._utils", "_rebuild_parameter"):
        return lambda data, *_: data
    raise ValueError(f"it holds more than tensors: its pickle calls {module}.{name}")


def _count(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"it has the size {value!r}")
    return value


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any) -> _Tensor:
    if not isinstance(storage, _Storage) or len(shape) != len(strides):
        raise ValueError("it has an invalid tensor")
    return _Tensor(storage, _count(offset), tuple(map(_count, shape)), tuple(map(_count, strides)))


def _storages(tree: Any) -> list[_Storage]:
    found: list[_Storage] = []
    _Arrays(lambda storage: found.append(storage) or b"", check_only=True).of(tree)
    return found


class _Arrays:
    """Replaces the tensors of a tree by arrays, which it takes from `bytes_of(storage)`."""

    def __init__(self, bytes_of: Callable[[_Storage], bytes], check_only: bool = False):
        self.bytes_of, self.check_only = bytes_of, check_only
        self.buffers: dict[str, bytes] = {}
        self.seen: set[int] = set()

    def of(self, tree: Any) -> Any:
        if isinstance(tree, _Tensor):
            return self.array(tree)
        if isinstance(tree, tuple) and any(isinstance(part, dict | list | tuple) for part in tree):
            raise ValueError("it holds a tuple of more than numbers and strings")
        if not isinstance(tree, dict | list):
            return tree
        if id(tree) in self.seen:  # otherwise a small file could hold a huge tree
            raise ValueError("it holds the same dict or list in two places")
        self.seen.add(id(tree))
        if isinstance(tree, list):
            return [self.of(part) for part in tree]
        return {name: self.of(part) for name, part in tree.items()}

    def array(self, tensor: _Tensor) -> Any:
        storage, offset, shape, strides = tensor
        if storage.key not in self.buffers:
            self.buffers[storage.key] = self.bytes_of(storage)
        if self.check_only:
            return None
        numbers = np.frombuffer(self.buffers[storage.key], storage.dtype)
        last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
        count = math.prod(shape)
        if count and (last >= len(numbers) or count > len(numbers)):
            raise ValueError(
                f"it has a tensor of shape {shape}, but only {len(numbers)} numbers for it"
            )
        step = storage.dtype.itemsize
        return np.lib.stride_tricks.as_strided(  # no copy: many tensors may share a storage
            numbers[offset:], shape, [n * step for n in strides], writeable=False
        )
