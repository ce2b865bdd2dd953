"""What a model's file holds besides its arrays: the shapes of inputs, classes, versions."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import jax
import numpy as np

from jaxnets.json_files import decode
from jaxnets.messages import printable

FORMAT = "jaxnets model 1"
PROGRAM = "program"  # the name of the serialized program, an array of bytes


@dataclass(frozen=True)
class Input:
    """One array of the input: its path in a dict or tuple, its shape without rows, its dtype."""

    path: str
    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        where = f"{printable(self.path)}: " if self.path else ""
        return f"{where}{self.dtype} {('n', *self.shape)}".replace("'", "")


@dataclass(frozen=True)
class Content:
    """The description in a file, as JSON.

    Attributes:
      inputs: the arrays of the input.
      classes: the names of the classes, or None.
      preprocess: the JSON of the preprocessing, or None.
      library_model: name and arguments of a function of `jaxnets.models`, or None.
      versions: of the packages that wrote the file, and of the program's calling convention.
      metadata: the user's.
    """

    inputs: tuple[Input, ...]
    classes: tuple[Any, ...] | None
    preprocess: dict[str, Any] | None
    library_model: dict[str, Any] | None
    versions: dict[str, Any]
    metadata: dict[str, Any]

    def to_json(self) -> str:
        """The description as JSON."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> "Content":
        """The description that `to_json` wrote.

        Raises:
          ValueError, LookupError, TypeError: it is not one.
        """
        content = decode(text, nonfinite=True)
        inputs = tuple(_input(**part) for part in content["inputs"])
        classes = content["classes"]
        names = ("preprocess", "library_model", "versions", "metadata")
        parts = {name: content[name] for name in names}
        optional = parts["preprocess"], parts["library_model"]
        required = parts["versions"], parts["metadata"]
        if not all(isinstance(part, dict) for part in (*filter(None, optional), *required)):
            raise ValueError("its description has parts of the wrong type")
        if not inputs or not isinstance(classes, list | None):
            raise ValueError("its description has no inputs, or no list of classes")
        return Content(inputs, classes if classes is None else tuple(classes), **parts)


def inputs_of(example: Any) -> tuple[Input, ...]:
    """The arrays of an example input."""
    leaves = jax.tree_util.tree_flatten_with_path(example)[0]
    return tuple(
        Input(
            jax.tree_util.keystr(path, simple=True, separator="/"),
            tuple(leaf.shape[1:]),
            jax.dtypes.canonicalize_dtype(leaf.dtype).name,
        )
        for path, leaf in leaves
    )


def _input(path: Any, shape: Any, dtype: Any) -> Input:
    if not isinstance(path, str) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError("its description has an input without a shape")
    return Input(path, tuple(shape), np.dtype(dtype).name)
