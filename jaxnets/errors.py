"""Errors and warnings that are shared by several parts of the library."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jaxnets.messages import printable

# What JAX says of `x + y` and `jnp.concatenate`.
SHAPES = re.compile(
    r"(?P<add>\w+) got incompatible shapes for broadcasting: (?P<added>\(.*\))"
    r"|Cannot concatenate arrays .* for shapes (?P<joined>\(.*\))"
)


class LayerError(ValueError):
    """A layer is built or used wrongly; the message says what was expected, where, and the fix."""

    def __init__(self, message: str):
        super().__init__(message)
        self.path: tuple[str, ...] = ()  # set by `serial` and `network`, outermost name first

    def __str__(self) -> str:
        where = f"{'/'.join(self.path)}: " if self.path else ""
        return where + super().__str__()


@contextmanager
def shapes_explained(forward: Callable[..., Any]) -> Iterator[None]:
    """Converts shape errors raised in `forward` itself to a `LayerError` with the fix."""
    try:
        yield
    except TypeError as error:
        found = SHAPES.search(str(error))
        if found is None or any("in layer" in note for note in getattr(error, "__notes__", ())):
            raise
        name = getattr(forward, "__name__", "the forward function")
        raise LayerError(
            f"{name} expects branches of equal shapes, but {_shapes(found)}; change one of them by "
            "a child such as skip=conv(features, (1, 1)), with strides where the size differs, and "
            "use skip(x) for x"
        ) from error


def _shapes(found: re.Match[str]) -> str:
    if found["joined"]:
        shapes = found["joined"]
        return f"concatenate got {shapes}, which differ in other axes than the concatenated one"
    return f"{found['add']} got {found['added']}"


class RunError(ValueError):
    """A run is set up wrongly; the message says what was expected, what was passed, and the fix."""


class DataError(ValueError):
    """Data is missing or invalid; the message says what was expected, where, and the fix."""


class JSONError(ValueError):
    """JSON cannot be read, or does not have the expected content.

    The message is one line: the file and the position in it, what is wrong, and how to fix it.
    """

    def __init__(self, where: object, reason: object, cure: str):
        super().__init__(f"{printable(where)} is damaged: {printable(reason)}; {cure}")


class CheckpointError(RuntimeError):
    """A checkpoint cannot be saved or restored; the message says why, and how to fix it."""


class DamagedError(CheckpointError):
    """A checkpoint file is damaged; an earlier checkpoint may be intact."""


class CheckpointWarning(UserWarning):
    """A checkpoint is damaged, and the previous one is restored; or it was sharded differently."""


class ModelFileError(ValueError):
    """A model cannot be saved or loaded, or its input does not fit; says how to fix it."""


class ModelFileWarning(UserWarning):
    """A saved model's program is refused; the model is built again from its name and arguments."""
