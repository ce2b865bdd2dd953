"""Speed: one process a contender, all alive, taking turns A/B/A/B in one run.

A process makes its trainer and compiles, trains an epoch whose accuracy is checked, so that speed
never hides wrong learning, warms up twice, and then trains some steps in every round.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from experiments.bench.cases import CASES
from experiments.bench.limits import datasheet, flops_per_step
from experiments.bench.peers.matmul import flops_per_product
from experiments.bench.process import Contender, LeftOut, Process
from experiments.bench.records import Record, left_out, setting, told
from experiments.bench.spread import ratio, spread
from experiments.bench.task import Task

TURN = 1.0  # seconds of steps a round
PAUSE = 0.2  # seconds between turns: idle threads of the one before may still spin for work
WARM_UPS = 2
LOW = 0.02  # below the best accuracy of the run, and the record says so
LIMIT = Contender("matmul")


@dataclass
class Racer:
    """A contender's process, and what is known of it.

    Attributes:
      found: what the process told.
      steps: how many it trains in a round.
      seconds: of one step, by round.
    """

    contender: Contender
    process: Process
    found: Record
    steps: int
    seconds: list[float] = field(default_factory=list)

    def turn(self, counted: bool) -> None:
        """Train the steps of a round."""
        time.sleep(PAUSE)
        answer = self.process.ask("steps", n=self.steps)
        self.found |= told(answer)
        if counted:
            self.seconds.append(answer["seconds"] / self.steps)

    def profile(self, folder: Path) -> None:
        """One more turn of ours, with a trace of it in the folder."""
        if self.contender.peer == "ours":
            where = str(folder / f"{self.contender.devices}-devices")
            self.process.ask("profile", n=self.steps, folder=where)

    def stop(self) -> None:
        """Tell the peak of memory, and end."""
        self.found |= told(self.process.stop())


def race(
    task: Task,
    contenders: Sequence[Contender],
    *,
    rounds: int,
    steps: int | None = None,
    profile: Path | None = None,
) -> list[Record]:
    """The records of one case: of each contender that got to the end, or why it did not.

    Args:
      task: what all train, on as many devices as each contender says.
      contenders: who; the machine's limit, a matmul, takes turns with them.
      rounds: that are counted.
      steps: of a contender in a round; by default as many as last about a second.
      profile: a folder for a trace of a last round of ours.
    """
    with ExitStack() as stack:
        racers, reasons = _ready(task, (LIMIT, *contenders), steps, stack)
        for number in range(WARM_UPS + rounds):
            counted = number >= WARM_UPS
            reasons |= _each(racers, lambda racer, counted=counted: racer.turn(counted))
        if profile is not None:
            folder = profile.resolve() / f"{task.case}-{task.batch_size}-{task.dtype}"
            reasons |= _each(racers, lambda racer: racer.profile(folder))
        reasons |= _each(racers, Racer.stop)
    records = [*_records(task, racers), *left_out("speed", reasons)]
    return [{**setting(task), **record} for record in records]


def _ready(
    task: Task, contenders: Sequence[Contender], steps: int | None, stack: ExitStack
) -> tuple[list[Racer], dict[str, str]]:
    """Those that have compiled and learnt for an epoch, and why others have not."""
    racers, reasons = [], {}
    for contender in contenders:
        try:
            process = stack.enter_context(Process(contender, task))
            found = {**process.about, **told(process.ask("prepare")), **told(process.ask("device"))}
            if contender != LIMIT and CASES[task.case].learns:
                process.ask("epoch")
                found |= told(process.ask("accuracy"))
            racers.append(Racer(contender, process, found, steps or steps_a_turn(process)))
        except LeftOut as why:
            reasons[contender.label] = str(why)
    return racers, reasons


def steps_a_turn(process: Process) -> int:
    """How many last about as long as a turn."""
    n = 1
    while True:
        process.ask("steps", n=n)  # some compile for each number of steps
        seconds = process.ask("steps", n=n)["seconds"]
        if seconds > TURN / 8:  # few steps are mostly the cost of starting them
            return max(1, round(TURN * n / seconds))
        n *= 16


def _each(racers: list[Racer], act: Callable[[Racer], None]) -> dict[str, str]:
    """Let each act; why some ended, which race no more."""
    reasons = {}
    for racer in tuple(racers):
        try:
            act(racer)
        except LeftOut as why:
            racers.remove(racer)
            reasons[racer.contender.label] = str(why)
    return reasons


def _records(task: Task, racers: Sequence[Racer]) -> list[Record]:
    """A record a contender, with its ratio to ours, round by round, and its share of the limit."""
    limits = [racer for racer in racers if racer.contender == LIMIT]
    racers = [racer for racer in racers if racer.contender != LIMIT]
    ours = {r.contender.label: r.seconds for r in racers if r.contender.peer == "ours"}
    best = max((racer.found.get("accuracy", 0.0) for racer in racers), default=0.0)
    matmul = max(
        (flops_per_product(r.found["platform"]) / min(r.seconds) for r in limits), default=0.0
    )
    return [
        {
            "kind": "speed",
            "peer": racer.contender.label,
            "steps_a_round": racer.steps,
            "step_seconds": racer.seconds,
            "step_ms": spread([1000 * s for s in racer.seconds]),
            "samples_per_second": spread([task.batch_size / s for s in racer.seconds]),
            "ours_times_faster": {k: ratio(racer.seconds, s) for k, s in ours.items()},
            "accuracy_low": racer.found.get("accuracy", best) < best - LOW,
            "loss_finite": math.isfinite(racer.found["loss"]),
            **_arithmetic(task, racer, matmul),
            **racer.found,
        }
        for racer in racers
    ]


def _arithmetic(task: Task, racer: Racer, matmul: float) -> Record:
    """FLOP/s, and their share of the best matmul measured and of the data sheet's peak."""
    flops = flops_per_step(task.case, task.batch_size)
    speed = flops / spread(racer.seconds)["median"]
    sheet = datasheet(racer.found["device"], task.dtype)
    return {
        "flops_per_step": flops,
        "flops_per_second": speed,
        "matmul_flops_per_second": matmul or None,
        "share_of_matmul": speed / matmul if matmul else None,
        "datasheet": sheet,
        "share_of_datasheet": sheet and speed / sheet["flops_per_second"],
    }
