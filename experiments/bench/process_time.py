"""The time of whole processes: from the start of Python to the end of one epoch."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.bench.process import Contender, LeftOut, Process, trial_seconds
from experiments.bench.records import Record, left_out, setting, without_seconds
from experiments.bench.task import Task
from experiments.timings.turns import ratio, summary


def process_time(task: Task, contenders: Sequence[Contender], *, rounds: int) -> list[Record]:
    """A record per contender, and for ours one with a cold and one with a warm compilation cache.

    They take turns. The first round fills caches, including those of the disk, and is not counted.
    The time in which a peer compares its implementations is not counted either.
    """
    with tempfile.TemporaryDirectory() as folder:
        starts = _starts(contenders, Path(folder))
        seconds: dict[str, list[float]] = {label: [] for label in starts}
        descriptions, reasons = {}, {}
        for counted in (False, *[True] * rounds):
            for label in tuple(seconds):
                try:
                    taken, descriptions[label] = _once(task, *starts[label])
                    seconds[label] += [taken] * counted
                except LeftOut as why:
                    reasons[label] = str(why)
                    del seconds[label]
    ours = {label: s for label, s in seconds.items() if starts[label][0].peer == "ours"}
    records = [
        {
            "kind": "whole_process",
            "peer": label,
            "process_seconds": taken,
            "seconds": summary(taken),
            "ours_times_faster": {name: ratio(taken, s) for name, s in ours.items()},
            **descriptions[label],
        }
        for label, taken in seconds.items()
    ]
    return [
        {**setting(task), **record} for record in (*records, *left_out("whole_process", reasons))
    ]


def _starts(
    contenders: Sequence[Contender], cache: Path
) -> dict[str, tuple[Contender, Mapping[str, str]]]:
    """The contender and the environment of each process, by label."""
    warm = {
        "JAX_ENABLE_COMPILATION_CACHE": "true",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",  # the default is 1 s, too long
    }
    starts: dict[str, tuple[Contender, Mapping[str, str]]] = {}
    for contender in contenders:
        if contender.peer == "ours":
            starts[f"{contender.label}, cold cache"] = (contender, {})
            starts[f"{contender.label}, warm cache"] = (contender, warm)
        else:
            starts[contender.label] = (contender, {})
    return starts


def _once(task: Task, contender: Contender, more: Mapping[str, str]) -> tuple[float, Record]:
    """Run one process; return its seconds and its description."""
    began = time.perf_counter()
    with Process(contender, task, more) as process:
        prepared = process.ask("prepare")
        process.ask("epoch")
        description = {**process.description, **without_seconds(process.stop())}
        return time.perf_counter() - began - trial_seconds(prepared), description
