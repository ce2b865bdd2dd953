"""The storage of checkpoints in a folder: one file per step."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jaxnets.errors import CheckpointError
from jaxnets.files import remove_stale
from jaxnets.training.checkpoint import file
from jaxnets.training.checkpoint.file import Content


class Store(Protocol):
    """The protocol of a storage of checkpoints, which `Checkpoints(folder, store=...)` calls.

    `store` is a function of the folder, which may not exist before the first save; a second store
    of the same folder has the steps that the first one saved.
    """

    def path(self, step: int) -> Path:
        """The path of a step, for messages; no file needs to be there."""
        ...

    def steps(self) -> list[int]:
        """The stored steps in any order, damaged or not."""
        ...

    def start(self, content: Content) -> Callable[[], None]:
        """Start to save; returns a function that finishes it, which may run in another thread.

        The arrays are copies on their devices, which only the store uses. A step that exists is
        replaced. Either function may raise an OSError, which is reported with the path.
        """
        ...

    def settle(self) -> None:
        """The process barrier after a save."""
        ...

    def read(self, step: int) -> Content:
        """A step's content as it was saved; raises DamagedError if it is damaged or missing.

        `arrays` may be empty until `Store.arrays`.
        """
        ...

    def arrays(self, content: Content, template: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arrays of a content that fits the template's leaves, by their paths."""
        ...

    def remove(self, step: int) -> None:
        """Delete a step; does nothing if it does not exist."""
        ...


class FileStore:
    """Stores each step as one safetensors file."""

    def __init__(self, folder: Path):
        self.folder = folder
        remove_stale(folder, "step-*.safetensors")

    def path(self, step: int) -> Path:
        """The path of a step's file."""
        return self.folder / f"step-{step:08d}.safetensors"

    def steps(self) -> list[int]:
        """The steps that have a file."""
        return find_steps(self.folder, r"step-([0-9]{8,18})\.safetensors", self.path)

    def start(self, content: Content) -> Callable[[], None]:
        """Returns a function that fetches, hashes and writes the arrays."""
        if remote := [name for name, a in content.arrays.items() if not a.is_fully_addressable]:
            raise CheckpointError(
                "Checkpoints expects arrays on the devices of this process, but "
                f"{', '.join(remote)} are also on devices of other processes; pass "
                "Checkpoints(..., store=ShardedStore)"
            )

        def write() -> None:
            arrays = {name: np.asarray(array) for name, array in content.arrays.items()}
            file.write(self.path(content.step), content._replace(arrays=arrays))

        return write

    def settle(self) -> None:
        """No barrier: each process saves on its own."""

    def read(self, step: int) -> Content:
        """A step's content, with a verified SHA-256."""
        return file.read(self.path(step))

    def arrays(self, content: Content, template: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arrays, which `read` has already loaded."""
        del template
        return content.arrays

    def remove(self, step: int) -> None:
        """Delete the file, unless another process already did."""
        self.path(step).unlink(missing_ok=True)


def find_steps(folder: Path, pattern: str, path: Callable[[int], Path]) -> list[int]:
    """The steps in a folder, from its entries that match `pattern` and equal a step's path."""
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    steps = [int(match[1]) for name in names if (match := re.fullmatch(pattern, name))]
    return [step for step in steps if path(step).name in names]
