"""Errors and warnings that are shared by several parts of the library."""

from jaxnets.messages import printable


class LayerError(ValueError):
    """A layer is built or used wrongly; the message says what was expected, where, and the fix."""

    def __init__(self, message: str):
        super().__init__(message)
        self.path: tuple[str, ...] = ()  # set by `serial` and `network`, outermost name first

    def __str__(self) -> str:
        where = f"{'/'.join(self.path)}: " if self.path else ""
        return where + super().__str__()


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
