"""Checks the range of an option that is a number."""

from jaxnets.errors import RunError


def check_range(option: str, value: int, most: int) -> None:
    """Refuse a number that is not from 1 to `most`.

    Raises:
      RunError: it is out of this range.
    """
    if not 1 <= value <= most:
        raise RunError(f"{option} expects a number from 1 to {most:,}, but got {value:,}")
