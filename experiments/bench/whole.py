"""Whole processes: from starting Python to the end of one epoch, imports and compiling included."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.bench.process import Contender, LeftOut, Process, trial_seconds
from experiments.bench.records import Record, left_out, setting, told
from experiments.bench.spread import ratio, spread
from experiments.bench.task import Task


def whole(task: Task, contenders: Sequence[Contender], *, rounds: int) -> list[Record]:
    """A record a contender, and for ours one with a cold and one with a warm compilation cache.

    They take turns. The first round fills caches, of the disk too, and is not counted; nor is a
    peer's search for its own best way.
    """
    with tempfile.TemporaryDirectory() as folder:
        ways = _ways(contenders, Path(folder))
        seconds: dict[str, list[float]] = {label: [] for label in ways}
        about, reasons = {}, {}
        for counted in (False, *[True] * rounds):
            for label in tuple(seconds):
                try:
                    took, about[label] = _once(task, *ways[label])
                    seconds[label] += [took] * counted
                except LeftOut as why:
                    reasons[label] = str(why)
                    del seconds[label]
    ours = {label: s for label, s in seconds.items() if ways[label][0].peer == "ours"}
    records = [
        {
            "kind": "whole_process",
            "peer": label,
            "process_seconds": taken,
            "seconds": spread(taken),
            "ours_times_faster": {name: ratio(taken, s) for name, s in ours.items()},
            **about[label],
        }
        for label, taken in seconds.items()
    ]
    return [
        {**setting(task), **record} for record in (*records, *left_out("whole_process", reasons))
    ]


def _ways(
    contenders: Sequence[Contender], cache: Path
) -> dict[str, tuple[Contender, Mapping[str, str]]]:
    """What is started, and in which environment, by label."""
    warm = {
        "JAX_ENABLE_COMPILATION_CACHE": "true",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",  # 1 by default: nothing here takes it
    }
    ways: dict[str, tuple[Contender, Mapping[str, str]]] = {}
    for contender in contenders:
        if contender.peer == "ours":
            ways[f"{contender.label}, cold cache"] = (contender, {})
            ways[f"{contender.label}, warm cache"] = (contender, warm)
        else:
            ways[contender.label] = (contender, {})
    return ways


def _once(task: Task, contender: Contender, more: Mapping[str, str]) -> tuple[float, Record]:
    """The seconds of one process, and what it told."""
    began = time.perf_counter()
    with Process(contender, task, more) as process:
        prepared = process.ask("prepare")
        process.ask("epoch")
        found = {**process.about, **told(process.stop())}
        return time.perf_counter() - began - trial_seconds(prepared), found
