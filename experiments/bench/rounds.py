"""Speed: rounds in which the contenders take turns, each turn in a fresh process.

One process can be slower by half than the next, for all of its life, with nothing changed; so every
round has new ones. A process makes its trainer and compiles, warms up twice, and then trains some
steps. In the first round it trains an epoch before, whose accuracy is checked, so that speed never
hides wrong learning.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from experiments.bench.cases import CASES
from experiments.bench.limits import datasheet, flops_per_step
from experiments.bench.peers.matmul import flops_per_product
from experiments.bench.process import Contender, LeftOut, Process
from experiments.bench.records import Record, left_out, setting, told
from experiments.bench.spread import ratio, spread
from experiments.bench.task import Task

TURN = 1.0  # seconds of steps a round
WARM_UPS = 2
LOW = 0.02  # below the best accuracy of the run, and the record says so
LIMIT = Contender("matmul")
STARTS = ("import_seconds", "make_seconds", "trace_seconds", "compile_seconds")


@dataclass
class Racer:
    """A contender, and what is known of it.

    Attributes:
      steps: how many it trains in a round; None until it is known how many last a turn.
      seconds: of one step, by round.
      found: what its processes told, by round.
    """

    contender: Contender
    steps: int | None
    seconds: list[float] = field(default_factory=list)
    found: list[Record] = field(default_factory=list)

    def turn(self, task: Task, profile: Path | None) -> None:
        """A round of a process of its own; with `profile`, then a traced one, into the folder."""
        with Process(self.contender, task) as process:
            about = {**process.about, **told(process.ask("prepare")), **told(process.ask("device"))}
            if not self.found and self.contender != LIMIT and CASES[task.case].learns:
                process.ask("epoch")
                about |= told(process.ask("accuracy"))
            self.steps = self.steps or steps_a_turn(process)
            for _ in range(WARM_UPS):
                process.ask("steps", n=self.steps)
            answer = process.ask("steps", n=self.steps)
            if profile is not None and self.contender.peer == "ours":
                folder = str(profile / f"{self.contender.devices}-devices")
                process.ask("profile", n=self.steps, folder=folder)
            self.found.append({**about, **told(answer), **told(process.stop())})
            self.seconds.append(answer["seconds"] / self.steps)

    def told(self) -> Record:
        """What the first process told, with the medians of how long all took to start."""
        first = self.found[0]
        started = {key: [found[key] for found in self.found] for key in STARTS if key in first}
        return first | {key: median(seconds) for key, seconds in started.items()}


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
      rounds: how many.
      steps: of a contender in a round; by default as many as last about a second.
      profile: a folder for a trace of a last round of ours.
    """
    racers, reasons = [Racer(contender, steps) for contender in (LIMIT, *contenders)], {}
    folder = profile and profile.resolve() / f"{task.case}-{task.batch_size}-{task.dtype}"
    for number in range(rounds):
        for racer in tuple(racers):
            try:
                racer.turn(task, folder if number == rounds - 1 else None)
            except LeftOut as why:
                racers.remove(racer)
                reasons[racer.contender.label] = str(why)
    records = [*_records(task, racers), *left_out("speed", reasons)]
    return [{**setting(task), **record} for record in records]


def steps_a_turn(process: Process) -> int:
    """How many last about as long as a turn."""
    n = 1
    while True:
        process.ask("steps", n=n)  # some compile for each number of steps
        seconds = process.ask("steps", n=n)["seconds"]
        if seconds > TURN / 8:  # few steps are mostly the cost of starting them
            return max(1, round(TURN * n / seconds))
        n *= 16


def _records(task: Task, racers: Sequence[Racer]) -> list[Record]:
    """A record a contender, with its ratio to ours, round by round, and its share of the limit."""
    limits = [racer for racer in racers if racer.contender == LIMIT]
    racers = [racer for racer in racers if racer.contender != LIMIT]
    ours = {r.contender.label: r.seconds for r in racers if r.contender.peer == "ours"}
    answers, examples = [racer.told() for racer in racers], task.members * task.batch_size
    best = max((found.get("accuracy", 0.0) for found in answers), default=0.0)
    matmul = max(
        (flops_per_product(r.found[0]["platform"]) / min(r.seconds) for r in limits), default=0.0
    )
    return [
        {
            "kind": "speed",
            "peer": racer.contender.label,
            "steps_a_round": racer.steps,
            "step_seconds": racer.seconds,
            "step_ms": spread([1000 * s for s in racer.seconds]),
            "samples_per_second": spread([examples / s for s in racer.seconds]),
            "ours_times_faster": {k: ratio(racer.seconds, s) for k, s in ours.items()},
            "accuracy_low": found.get("accuracy", best) < best - LOW,
            "loss_finite": math.isfinite(found["loss"]),
            **_arithmetic(task, racer.seconds, found["device"], matmul),
            **found,
        }
        for racer, found in zip(racers, answers, strict=True)
    ]


def _arithmetic(task: Task, seconds: Sequence[float], device: str, matmul: float) -> Record:
    """FLOP/s, and their share of the best matmul measured and of the data sheet's peak."""
    flops = task.members * flops_per_step(task.case, task.batch_size)
    speed = flops / spread(seconds)["median"]
    sheet = datasheet(device, task.dtype)
    return {
        "flops_per_step": flops,
        "flops_per_second": speed,
        "matmul_flops_per_second": matmul or None,
        "share_of_matmul": speed / matmul if matmul else None,
        "datasheet": sheet,
        "share_of_datasheet": sheet and speed / sheet["flops_per_second"],
    }
