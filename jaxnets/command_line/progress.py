"""Progress of loops that take more than a few seconds and are not training."""

import sys
from collections.abc import Collection, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def tracked(items: Collection[Item], doing: str) -> Iterator[Item]:
    """Yields the items; shows a bar on a terminal, and elsewhere prints one line at the start.

    The bar is drawn between the items only, so that it takes no time from what is measured.
    """
    if not sys.stdout.isatty():
        print(f"{doing}: {len(items)} in all", flush=True)
        yield from items
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = TextColumn("{task.description}"), BarColumn(20), MofNCompleteColumn()
    with Progress(*columns, TimeRemainingColumn(), auto_refresh=False) as display:
        task = display.add_task(doing, total=len(items))
        display.refresh()
        for item in items:
            yield item
            display.update(task, advance=1, refresh=True)
