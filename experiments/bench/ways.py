"""Ways to do the same thing, timed in turn in one process, and where that is written."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from experiments.folder import machine, write_json

Milliseconds = dict[str, list[float]]


def in_turn(ways: Mapping[str, Callable[[], object]], *, rounds: int, times: int) -> Milliseconds:
    """What each way takes, a round, if a call does it so many times; the first is not counted."""
    taken: Milliseconds = {way: [] for way in ways}
    for round_number in range(1 + rounds):
        for way, run in ways.items():
            began = time.perf_counter()
            run()
            if round_number > 0:
                taken[way].append(1000 * (time.perf_counter() - began) / times)
    return taken


def told(milliseconds: Mapping[str, Mapping[str, float]]) -> str:
    """The median of each way, in words."""
    return ", ".join(f"{way} {taken['median']:.3g} ms" for way, taken in milliseconds.items())


def write(out: Path | None, found: dict[str, Any]) -> None:
    """What was found, and on which machine, as JSON where `out` says."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_json(out, {**found, **machine()})
