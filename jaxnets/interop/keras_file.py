"""Reads the weights in Keras's files by h5py, without Keras: .keras, .weights.h5, legacy .h5."""

import io
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from jaxnets.errors import LayerError
from jaxnets.files import regular_file
from jaxnets.interop.archives import stored_zip
from jaxnets.json_files import decode
from jaxnets.messages import printable

CONFIG_LIMIT = 2**26  # bytes of config.json
NORM = ("gamma", "beta", "moving_mean", "moving_variance")
KINDS = (  # the names of a class's variables in order, which .keras files leave out
    (r"(depthwise_)?conv\dd(_transpose)?|dense", ("kernel", "bias")),
    (r"separable_conv\dd", ("depthwise_kernel", "pointwise_kernel", "bias")),
    (r"batch_normalization", NORM),
    (r"(layer|group)_normalization", NORM[:2]),
    (r"embedding", ("embeddings",)),
    (r"p_re_lu", ("alpha",)),
    (r"cell", ("kernel", "recurrent_kernel", "bias")),
)


class KerasFile(NamedTuple):
    """The content of a file.

    Attributes:
      arrays: the weights by path, as `w.path` in Keras, without the name of the model.
      config: the model's configuration; {} in a file of weights alone.
    """

    arrays: dict[str, np.ndarray]
    config: dict[str, Any]


def read(path: str | Path) -> KerasFile:
    """The weights in a .keras, .weights.h5 or legacy .h5 file, and the model's configuration.

    Raises:
      LayerError: h5py is not installed, or a file that is damaged or of another kind.
      OSError: the file does not exist, or is not a regular file.
    """
    with regular_file(path) as file:
        h5py = _h5py()
        try:
            is_zip = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            return _read_keras(h5py, file) if is_zip else _read_h5(h5py, file, {})
        except Exception as error:  # HDF5's errors have many types
            reason = error if isinstance(error, ValueError) else f"it is damaged ({error!r})"
            raise LayerError(
                f"{printable(path)} cannot be read as Keras's weights: {printable(reason)}; save "
                'it again by model.save("model.keras")'
            ) from error


def _h5py() -> Any:
    try:
        import h5py  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise LayerError(
            "Keras's files need h5py, which is not installed; pip install 'jaxnets[keras]'"
        ) from None
    return h5py


def layers(config: dict[str, Any], path: str = "") -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The path, the class and the configuration of every layer, those of nested models too."""
    inner = config.get("config", {})
    for layer in inner.get("layers", ()) if isinstance(inner, dict) else ():
        if isinstance(layer, dict) and isinstance(options := layer.get("config"), dict):
            name = f"{path}{options.get('name') or layer.get('name')}"
            yield name, str(layer.get("class_name")), options
            yield from layers(layer, f"{name}/")


def _read_keras(h5py: Any, file: BinaryIO) -> KerasFile:
    with stored_zip(file, "Keras") as (archive, names):
        if missing := {"config.json", "model.weights.h5"} - set(names):
            raise ValueError(f"its zip has no {sorted(missing)[0]}")
        if archive.getinfo("config.json").file_size > CONFIG_LIMIT:
            raise ValueError(f"its config.json has more than {CONFIG_LIMIT} bytes")
        config = decode(archive.read("config.json"), nonfinite=True)
        return _read_h5(h5py, io.BytesIO(archive.read("model.weights.h5")), config)


def _read_h5(h5py: Any, file: BinaryIO, config: dict[str, Any]) -> KerasFile:
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    with h5py.File(file, "r") as root:
        if "model_config" in root.attrs:
            config = decode(root.attrs["model_config"], nonfinite=True)
        with _named_errors():
            arrays = dict(_datasets(h5py, root, size))
            legacy = root.get("model_weights", root)
            if "layer_names" in legacy.attrs:
                prefix = "" if legacy is root else "model_weights/"
                return KerasFile(_legacy(arrays, prefix), config)
            return KerasFile(_by_position(root, arrays, config), config)


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise ValueError(f"its layout is not that of Keras ({error!r})") from error


def _datasets(h5py: Any, root: Any, size: int) -> Iterator[tuple[str, np.ndarray]]:
    """Every dataset by its path; raises for virtual, external and compressed ones."""
    found: list[tuple[str, Any]] = []
    root.visititems(lambda name, node: found.append((name, node)))  # follows no links to files
    for name, node in found:
        if isinstance(node, h5py.Dataset):
            inside = not node.is_virtual and node.external is None and node.nbytes <= size
            if not inside or node.compression or node.dtype.hasobject:
                raise ValueError(f"{name} is not stored as a plain array")
            yield name, np.asarray(node[()])


def _legacy(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The arrays of `conv1/sequential/conv1/kernel:0` as `conv1/kernel`."""
    result: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if not name.startswith(prefix):
            continue  # of the optimizer
        layer, *parts = name.removeprefix(prefix).removesuffix(":0").split("/")
        parts = parts[parts.index(layer) + 1 :] if layer in parts else parts[-1:]
        if (path := "/".join([layer, *parts])) in result:
            raise ValueError(f"several of its arrays are named {path}, in nested models")
        result[path] = array
    return result


def _by_position(
    root: Any, arrays: dict[str, np.ndarray], config: dict[str, Any]
) -> dict[str, np.ndarray]:
    """The arrays of `layers/conv2d_1/vars/0` as `conv1/kernel`.

    Keras numbers the layers of each class. A layer's own name is an attribute of its `vars`, or, in
    files of earlier versions, only in the configuration.
    """
    known = dict(_names(config, ""))
    counts = Counter(name.rpartition("/")[0] for name in arrays)
    result: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        *groups, variables, index = name.split("/")
        if variables != "vars":
            continue
        path = [
            _layer_name(root, known, groups[: depth + 1])
            for depth, group in enumerate(groups)
            if group != "layers"
        ]
        kinds = next((k for pattern, k in KINDS if re.fullmatch(pattern, _class(groups))), ())
        complete = kinds != NORM or counts[name.rpartition("/")[0]] == len(NORM)
        position = int(index) if index.isdecimal() else len(kinds)
        kind = kinds[position] if complete and position < len(kinds) else f"vars/{index}"
        result["/".join([*path, kind])] = array
    return result


def _class(groups: list[str]) -> str:
    return re.sub(r"_\d+$", "", groups[-1]) if groups else ""


def _layer_name(root: Any, known: dict[str, str], groups: list[str]) -> str:
    """A layer's name; `groups` are those of its path in the file."""
    path, last = "/".join(groups), groups[-1]
    attributes = root[path]["vars"].attrs if "vars" in root[path] else {}
    if "name" in attributes:
        return str(attributes["name"])
    if last in ("forward_layer", "backward_layer", "cell"):
        return {"cell": "rnn_cell"}.get(last, last)
    return known.get(path, last)


def _names(config: dict[str, Any], path: str) -> Iterator[tuple[str, str]]:
    """The path in the file and the name of every layer in a configuration."""
    counts: dict[str, int] = {}
    inner = config.get("config", {})
    for layer in inner.get("layers", ()) if isinstance(inner, dict) else ():
        snake = _snake(layer["class_name"])
        snake = "functional" if snake == "model" else snake
        number = counts[snake] = counts.get(snake, -1) + 1
        group = f"{path}layers/{snake}" + (f"_{number}" if number else "")
        yield group, layer["config"]["name"]
        yield from _names(layer, f"{group}/")


def _snake(name: str) -> str:
    """The name of a class as Keras writes it: `Conv2D` is conv2d, `PReLU` is p_re_lu."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
