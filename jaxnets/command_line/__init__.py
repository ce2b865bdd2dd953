"""The command `jaxnets`, also `python -m jaxnets`."""

from jaxnets.command_line.main import main

__all__ = ["main"]
