"""Progress of loops that take more than a few seconds and are not training."""

import sys
from collections.abc import Collection, Iterator
from typing import TypeVar

from rich.progress import track

Item = TypeVar("Item")


def tracked(items: Collection[Item], doing: str) -> Iterator[Item]:
    """The items; with a bar on a terminal, and elsewhere one line before the first."""
    if not sys.stdout.isatty():
        print(f"{doing}: {len(items)} steps", flush=True)
    yield from track(items, doing, total=len(items), disable=not sys.stdout.isatty())
