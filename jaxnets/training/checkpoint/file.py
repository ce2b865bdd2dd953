"""One checkpoint as one safetensors file, with its own SHA-256 in the header."""

import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnets import sealed
from jaxnets.errors import CheckpointError, DamagedError
from jaxnets.json_files import decode
from jaxnets.messages import printable
from jaxnets.tensors import Tensors
from jaxnets.training.checkpoint.leaves import Leaf

FORMAT = "jaxnets checkpoint 1"


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
    sealed.write(path, content.arrays, _metadata(content))


def read(path: Path) -> Content:
    """The content of a checkpoint file; its SHA-256 is verified first.

    Raises:
      DamagedError: the file cannot be read, or is not as it was written.
      CheckpointError: the file has the format of another version.
    """
    try:
        return _content(sealed.read(path), path)
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
        "versions": json.dumps(versions()),
    }


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


def versions() -> dict[str, str]:
    """The versions of the packages that write a checkpoint."""
    try:
        jaxnets = version("jaxnets")
    except PackageNotFoundError:  # imported from the source tree
        jaxnets = "not installed"
    return {"jaxnets": jaxnets, "jax": jax.__version__, "numpy": np.__version__}
