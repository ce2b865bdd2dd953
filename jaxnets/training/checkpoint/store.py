"""Where the checkpoints of a folder lie: each step as one file."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from jaxnets.errors import CheckpointError
from jaxnets.files import sweep
from jaxnets.training.checkpoint import file
from jaxnets.training.checkpoint.file import Content


class Store(Protocol):
    """What a folder of checkpoints asks of the form they are stored in."""

    def path(self, step: int) -> Path:
        """Where a step lies."""
        ...

    def steps(self) -> list[int]:
        """The steps that there are, damaged or not."""
        ...

    def start(self, content: Content) -> Callable[[], None]:
        """Begin to save; what is returned ends it, and may run in another thread."""
        ...

    def settle(self) -> None:
        """Wait, after a save has ended in this process, for the others that take part in it."""
        ...

    def read(self, step: int) -> Content:
        """A step's content, its sums checked; raises DamagedError."""
        ...

    def arrays(self, content: Content, template: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arrays of a content that fits the template's leaves."""
        ...

    def remove(self, step: int) -> None:
        """Take a step away."""
        ...


class FileStore:
    """One safetensors file for a step."""

    def __init__(self, folder: Path):
        self.folder = folder
        sweep(folder, "step-*.safetensors")

    def path(self, step: int) -> Path:
        """Where a step lies."""
        return self.folder / f"step-{step:08d}.safetensors"

    def steps(self) -> list[int]:
        """The steps that have a file."""
        return steps_in(self.folder, r"step-([0-9]{8,18})\.safetensors", self.path)

    def start(self, content: Content) -> Callable[[], None]:
        """Nothing but what can wait: fetching, hashing and writing."""
        if far := [name for name, a in content.arrays.items() if not a.is_fully_addressable]:
            raise CheckpointError(
                f"Checkpoints expects arrays on the devices of this process, but {', '.join(far)} "
                "lie on those of others too; pass Checkpoints(..., store=ShardedStore)"
            )

        def write() -> None:
            arrays = {name: np.asarray(array) for name, array in content.arrays.items()}
            file.write(self.path(content.step), content._replace(arrays=arrays))

        return write

    def settle(self) -> None:
        """Nothing to wait for: one process saves alone."""

    def read(self, step: int) -> Content:
        """A step's content, its SHA-256 checked."""
        return file.read(self.path(step))

    def arrays(self, content: Content, template: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arrays, which were read with the rest."""
        del template
        return content.arrays

    def remove(self, step: int) -> None:
        """Delete the file, unless another process did."""
        self.path(step).unlink(missing_ok=True)


def steps_in(folder: Path, pattern: str, path: Callable[[int], Path]) -> list[int]:
    """The steps whose path is in a folder, found by the pattern of their names."""
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    steps = [int(match[1]) for name in names if (match := re.fullmatch(pattern, name))]
    return [step for step in steps if path(step).name in names]
