"""Speed: rounds in which the contenders take turns, each turn in a fresh process.

The same code can be 1.5 times slower in one process than in another, for as long as the process
runs, so every round uses new processes. A process creates its trainer, compiles, warms up twice,
and then trains some steps. In the first round it first trains for an epoch, and the accuracy is
checked to detect implementations that are fast but wrong.
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
from experiments.bench.records import Record, left_out, setting, without_seconds
from experiments.bench.task import Task
from experiments.timings.turns import ratio, summary

TURN = 1.0  # seconds of steps per round
WARM_UPS = 2
PREPARE_SECONDS = 300.0  # for compiling, in which some peers can hang
LOW = 0.02  # a record is flagged if its accuracy is this far below the best of the run
LIMIT = Contender("matmul")
STARTS = ("import_seconds", "make_seconds", "trace_seconds", "compile_seconds")


@dataclass
class Measurements:
    """A contender, and its measurements so far.

    Attributes:
      steps: the number of steps per round; None until it has been measured.
      seconds: the time per step, by round.
      answers: the answers of its processes, by round.
    """

    contender: Contender
    steps: int | None
    seconds: list[float] = field(default_factory=list)
    answers: list[Record] = field(default_factory=list)

    def turn(self, task: Task, profile: Path | None, prepare_seconds: float) -> None:
        """Measure one round in a fresh process; with `profile`, a folder, also trace one.

        Each command that may compile has `prepare_seconds`.
        """
        with Process(self.contender, task) as process:
            prepared = process.ask("prepare", within=prepare_seconds)
            record = process.description | without_seconds(prepared)
            record |= without_seconds(process.ask("device"))
            if not self.answers and self.contender != LIMIT and CASES[task.case].learns:
                process.ask("epoch", within=prepare_seconds)
                record |= without_seconds(process.ask("accuracy", within=prepare_seconds))
            self.steps = self.steps or steps_per_turn(process, prepare_seconds)
            for _ in range(WARM_UPS):
                process.ask("steps", within=prepare_seconds, n=self.steps)
            answer = process.ask("steps", n=self.steps)
            if profile is not None and self.contender.peer == "ours":
                folder = str(profile / f"{self.contender.devices}-devices")
                process.ask("profile", n=self.steps, folder=folder)
            record |= without_seconds(answer) | without_seconds(process.stop())
            self.answers.append(record)
            self.seconds.append(answer["seconds"] / self.steps)

    def combined(self) -> Record:
        """The answers of the first process, with the medians of all start-up times."""
        first = self.answers[0]
        started = {key: [answer[key] for answer in self.answers] for key in STARTS if key in first}
        return first | {key: median(seconds) for key, seconds in started.items()}


def take_turns(
    task: Task,
    contenders: Sequence[Contender],
    *,
    rounds: int,
    steps: int | None = None,
    profile: Path | None = None,
    prepare_seconds: float = PREPARE_SECONDS,
) -> list[Record]:
    """The records of one case: each contender's measurements, or the reason why it is left out.

    Args:
      task: the task that all contenders train.
      contenders: the peers and jaxnets, each on its number of devices; a large matmul, the limit of
        the machine, takes turns with them.
      rounds: the number of rounds.
      steps: steps per round; by default as many as take about a second.
      profile: a folder for a trace of one more round of jaxnets.
      prepare_seconds: a contender that takes longer to compile, or for its first epoch, is left
        out.
    """
    measured, reasons = [Measurements(contender, steps) for contender in (LIMIT, *contenders)], {}
    folder = profile and profile.resolve() / f"{task.case}-{task.batch_size}-{task.dtype}"
    for number in range(rounds):
        for each in tuple(measured):
            try:
                each.turn(task, folder if number == rounds - 1 else None, prepare_seconds)
            except LeftOut as why:
                measured.remove(each)
                reasons[each.contender.label] = str(why)
    records = [*records_of(task, measured), *left_out("speed", reasons)]
    return [{**setting(task), **record} for record in records]


def steps_per_turn(process: Process, within: float | None = None) -> int:
    """The number of steps that fills a turn; each trial has `within` seconds."""
    n = 1
    while True:
        process.ask("steps", within=within, n=n)  # some compile for each number of steps
        seconds = process.ask("steps", within=within, n=n)["seconds"]
        if seconds > TURN / 8:  # few steps measure mostly the cost of the call
            return max(1, round(TURN * n / seconds))
        n *= 16


def records_of(task: Task, measured: Sequence[Measurements]) -> list[Record]:
    """A record per contender, with its ratio to jaxnets by round, and its share of the limit."""
    limits = [each for each in measured if each.contender == LIMIT]
    measured = [each for each in measured if each.contender != LIMIT]
    ours = {r.contender.label: r.seconds for r in measured if r.contender.peer == "ours"}
    answers, examples = [each.combined() for each in measured], task.members * task.batch_size
    best = max((answer.get("accuracy", 0.0) for answer in answers), default=0.0)
    matmul = max(
        (flops_per_product(r.answers[0]["platform"]) / min(r.seconds) for r in limits), default=0.0
    )
    return [
        {
            "kind": "speed",
            "peer": each.contender.label,
            "steps_a_round": each.steps,
            "step_seconds": each.seconds,
            "step_ms": summary([1000 * s for s in each.seconds]),
            "samples_per_second": summary([examples / s for s in each.seconds]),
            "ours_times_faster": {k: ratio(each.seconds, s) for k, s in ours.items()},
            "accuracy_low": answer.get("accuracy", best) < best - LOW,
            "loss_finite": math.isfinite(answer["loss"]),
            **_arithmetic(task, each.seconds, answer["device"], matmul),
            **answer,
        }
        for each, answer in zip(measured, answers, strict=True)
    ]


def _arithmetic(task: Task, seconds: Sequence[float], device: str, matmul: float) -> Record:
    """FLOP/s, and their share of the best matmul measured and of the data sheet's peak."""
    flops = task.members * flops_per_step(task.case, task.batch_size)
    speed = flops / summary(seconds)["median"]
    sheet = datasheet(device, task.dtype)
    return {
        "flops_per_step": flops,
        "flops_per_second": speed,
        "matmul_flops_per_second": matmul or None,
        "share_of_matmul": speed / matmul if matmul else None,
        "datasheet": sheet,
        "share_of_datasheet": sheet and speed / sheet["flops_per_second"],
    }
