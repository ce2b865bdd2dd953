"""A page that shows networks of a few units while they train, in a browser on this machine."""

from jaxnets.playground.command import main

__all__ = ["main"]
