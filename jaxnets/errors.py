"""Errors that several parts of the library raise."""


class RunError(ValueError):
    """A run was set up wrongly; says what was expected, what came, and the cure."""
