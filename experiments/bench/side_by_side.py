"""Speed where compilers take most of the time, as on a GPU: all prepare at once, then take turns.

Each contender is one process for all rounds. The processes compile side by side, `workers` at a
time; once all are ready they are timed alone, one after the other, round by round.
"""

import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from experiments.bench.cases import CASES
from experiments.bench.process import Contender, LeftOut, Process
from experiments.bench.records import Record, left_out, setting, without_seconds
from experiments.bench.rounds import LIMIT, Measurements, records_of, steps_per_turn
from experiments.bench.task import Task

Ready = tuple[Task, Measurements, Process]
WITHIN = 60.0  # seconds for a round


def take_turns_side_by_side(
    tasks: Sequence[Task],
    contenders: Sequence[Contender],
    *,
    rounds: int,
    steps: int | None = None,
    workers: int,
    prepare_seconds: float,
) -> list[Record]:
    """The records of all cases, as `rounds.take_turns` gives them for one.

    Args:
      tasks: the tasks that all contenders train.
      contenders: the peers and jaxnets; a large matmul takes turns with them.
      rounds: the number of rounds.
      steps: steps per round; by default as many as take about a second.
      workers: the number of processes that compile at the same time.
      prepare_seconds: a contender that is not ready after this time is left out.
    """
    pairs = [(task, each) for task in tasks for each in (LIMIT, *contenders)]
    began = time.monotonic()
    deadline = began + prepare_seconds
    reasons: dict[Task, dict[str, str]] = {task: {} for task in tasks}

    def start(pair: tuple[Task, Contender]) -> Ready | None:
        task, contender = pair
        name = f"{task.case}, {contender.label}"
        try:
            ready = prepared(processes, task, contender, steps, deadline)
        except LeftOut as why:
            reasons[task][contender.label] = str(why)
            print(f"{name}: left out", file=sys.stderr, flush=True)
            return None
        print(f"{name}: ready after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        return ready

    with ExitStack() as processes:
        with ThreadPoolExecutor(workers) as pool:
            ready = [each for each in pool.map(start, pairs) if each is not None]
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
            for each in tuple(ready):
                try:
                    turn(*each)
                except LeftOut as why:
                    ready.remove(each)
                    reasons[each[0]][each[1].contender.label] = str(why)
        return [record for task in tasks for record in finish(task, ready, reasons[task])]


def prepared(
    processes: ExitStack, task: Task, contender: Contender, steps: int | None, deadline: float
) -> Ready:
    """Start a contender's process, and compile before the deadline; `processes` closes it."""
    process = processes.enter_context(Process(contender, task))
    answer = process.description
    answer |= without_seconds(process.ask("prepare", within=max(1.0, deadline - time.monotonic())))
    answer |= without_seconds(process.ask("device"))
    return task, Measurements(contender, steps, answers=[answer]), process


def turn(task: Task, measured: Measurements, process: Process) -> None:
    """Time one round; the first also trains an epoch for the accuracy, which warms up."""
    answer = measured.answers[0]
    if not measured.seconds:
        if measured.contender != LIMIT and CASES[task.case].learns:
            process.ask("epoch", within=WITHIN)
            answer |= without_seconds(process.ask("accuracy", within=WITHIN))
        measured.steps = measured.steps or steps_per_turn(process, WITHIN)
    timed = process.ask("steps", within=WITHIN, n=measured.steps)
    answer |= without_seconds(timed)
    measured.seconds.append(timed["seconds"] / measured.steps)


def finish(task: Task, ready: Sequence[Ready], reasons: dict[str, str]) -> list[Record]:
    """The records of a case; its processes report their peak memory, and end."""
    mine = [(measured, process) for each, measured, process in ready if each is task]
    for measured, process in mine:
        measured.answers[0] |= without_seconds(process.stop())
    records = [*records_of(task, [measured for measured, _ in mine])]
    records += left_out("speed", reasons)
    return [{**setting(task), "side_by_side": True, **record} for record in records]
