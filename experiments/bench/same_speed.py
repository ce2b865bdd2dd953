"""Whether two checkouts train as fast: steps in turns, the time of the new over that of the old.

python -m experiments.bench.same_speed --old PATH [--new PATH]

Every turn is a fresh process with its checkout first on its path, which compiles, warms up twice
and trains for about a second. Prints and writes the median ratio of each case with the 95 %
interval of its bootstrap; two checkouts are as fast where the interval reaches 1. About 15 minutes
on two cores, on which nothing else may run.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments import common
from experiments.bench.process import Contender, Process
from experiments.bench.rounds import WARM_UPS, steps_a_turn
from experiments.bench.spread import spread
from experiments.bench.task import Task
from experiments.folder import machine, write_json

CASES = ("mlp", "cnn_bn", "cnn_5x5", "population")
MEMBERS = 64  # of the population
RESAMPLES = 10_000  # of the bootstrap


@dataclass(frozen=True)
class Config:
    """Whether two checkouts train as fast."""

    old: Path
    """A checkout to compare with."""
    new: Path = Path(".")
    """The checkout that is compared."""
    cases: tuple[str, ...] = CASES
    """Which of the networks."""
    rounds: int = 10
    """Turns of each checkout."""
    out: Path = Path("experiments/results/same_speed.json")
    """The JSON file to write."""


def main(config: Config) -> None:
    """Measure case by case, print and write."""
    results: dict[str, Any] = {}
    checkouts = {"old": config.old.resolve(), "new": config.new.resolve()}
    for case in config.cases:
        task = Task(case, members=MEMBERS if case == "population" else 1)
        results[case] = compare(task, checkouts, config.rounds)
        median, (low, high) = results[case]["new / old"], results[case]["interval"]
        print(f"{case:12} new / old {median:.3f} ({low:.3f} to {high:.3f})", flush=True)
    config.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(config.out, {"cases": results, **machine()})


def compare(task: Task, checkouts: dict[str, Path], rounds: int) -> dict[str, Any]:
    """The milliseconds per step of both, and the ratio with its interval."""
    seconds: dict[str, list[float]] = {name: [] for name in checkouts}
    steps = None
    for _ in range(rounds):
        for name, checkout in checkouts.items():
            with Process(Contender("ours"), task, checkout=checkout) as process:
                process.ask("prepare")
                steps = steps or steps_a_turn(process)
                for _ in range(WARM_UPS):
                    process.ask("steps", n=steps)
                seconds[name].append(process.ask("steps", n=steps)["seconds"] / steps)
    ratios = np.divide(seconds["new"], seconds["old"])
    samples = np.random.default_rng(0).choice(ratios, (RESAMPLES, rounds))
    low, high = np.quantile(np.median(samples, axis=1), (0.025, 0.975))
    return {
        "milliseconds per step": {
            name: spread([1000 * s for s in values]) for name, values in seconds.items()
        },
        "steps per turn": steps,
        "ratios": [round(float(ratio), 4) for ratio in ratios],
        "new / old": round(float(np.median(ratios)), 4),
        "interval": [round(float(low), 4), round(float(high), 4)],
    }


if __name__ == "__main__":
    common.main(main, Config, keep_compiled=False)
