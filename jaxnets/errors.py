"""Errors and warnings that are shared by several parts of the library."""

from jaxnets.messages import printable


class LayerError(ValueError):
    """A layer is built or used wrongly; the message has expected, got, where and the cure."""

    def __init__(self, message: str):
        super().__init__(message)
        self.path: tuple[str, ...] = ()  # set by `serial` and `network`, outermost name first

    def __str__(self) -> str:
        where = f"{'/'.join(self.path)}: " if self.path else ""
        return where + super().__str__()


class RunError(ValueError):
    """A run is set up wrongly; the message has expected, got and the cure."""


class DataError(ValueError):
    """Data is missing or invalid; the message has expected, got, where and the cure."""


class JSONError(ValueError):
    """JSON cannot be read, or does not have the expected content.

    The message is one line: the file and the position in it, what is wrong, and the cure.
    """

    def __init__(self, where: object, reason: object, cure: str):
        super().__init__(f"{printable(where)} is damaged: {printable(reason)}; {cure}")


class CheckpointError(RuntimeError):
    """A checkpoint cannot be saved or restored; the message has expected, got and the cure."""


class DamagedError(CheckpointError):
    """A checkpoint file is damaged; an earlier checkpoint may be intact."""


class CheckpointWarning(UserWarning):
    """A checkpoint is damaged; the previous one is restored instead."""
