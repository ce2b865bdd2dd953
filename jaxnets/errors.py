"""The errors and warnings that several parts of the library raise."""

from jaxnets.messages import printable


class LayerError(ValueError):
    """A layer was built or used wrongly; says what was expected, what came, where, and the cure."""

    def __init__(self, message: str):
        super().__init__(message)
        self.path: tuple[str, ...] = ()  # filled in by the composing functions, outermost first

    def __str__(self) -> str:
        where = f"{'/'.join(self.path)}: " if self.path else ""
        return where + super().__str__()


class RunError(ValueError):
    """A run was set up wrongly; says what was expected, what came, and the cure."""


class DataError(ValueError):
    """Data that is missing or wrong: says what was expected, what was found, where, the cure."""


class JSONError(ValueError):
    """JSON that cannot be read, or holds something else than it should.

    Its message is one line: the file and where in it, what is wrong, and the cure.
    """

    def __init__(self, where: object, reason: object, cure: str):
        super().__init__(f"{printable(where)} is damaged: {printable(reason)}; {cure}")


class CheckpointError(RuntimeError):
    """A checkpoint cannot be saved or restored; says what was expected, what came, and the cure."""


class DamagedError(CheckpointError):
    """A file is not what was once saved; an earlier one may do."""


class CheckpointWarning(UserWarning):
    """A checkpoint is damaged; the one before it is restored instead."""
