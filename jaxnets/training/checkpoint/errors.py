"""What can go wrong with a checkpoint."""


class CheckpointError(RuntimeError):
    """A checkpoint cannot be saved or restored; says what was expected, what came, and the cure."""


class DamagedError(CheckpointError):
    """A file is not what was once saved; an earlier one may do."""


class CheckpointWarning(UserWarning):
    """A damaged checkpoint was passed over for the one before."""
