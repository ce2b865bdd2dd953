"""Checks that two checkouts train equally fast: the ratio of new to old time, in interleaved turns.

python -m experiments.timings.same_speed --old PATH [--new PATH]

Every turn is a fresh process with its checkout first on its path, which compiles, warms up twice
and trains for about a second. Prints and writes the median ratio of each case with its 95 %
bootstrap interval; two checkouts are equally fast where the interval contains 1. About 15 minutes
on two cores; run nothing else at the same time.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments import command_line
from experiments.bench.process import Contender, Process
from experiments.bench.rounds import WARM_UPS, steps_per_turn
from experiments.bench.task import Task
from experiments.timings import turns
from experiments.timings.turns import in_turn, summary

CASES = ("mlp", "cnn_bn", "cnn_5x5", "population")
MEMBERS = 64  # of the population
RESAMPLES = 10_000  # of the bootstrap


@dataclass(frozen=True, kw_only=True)
class Config(turns.Config):
    """Check that two checkouts train equally fast."""

    old: Path
    """The checkout to compare with."""
    new: Path = Path(".")
    """The checkout to check."""
    cases: tuple[str, ...] = CASES
    """Names of the networks to time."""
    rounds: int = 10
    """Number of turns per checkout."""


def main(config: Config) -> None:
    """Measure each case, and print and write the results."""
    results: dict[str, Any] = {}
    checkouts = {"old": config.old.resolve(), "new": config.new.resolve()}
    for case in config.cases:
        task = Task(case, members=MEMBERS if case == "population" else 1)
        results[case] = compare(task, checkouts, config.rounds)
        median, (low, high) = results[case]["new / old"], results[case]["interval"]
        print(f"{case:12} new / old {median:.3f} ({low:.3f} to {high:.3f})", flush=True)
    turns.write("same_speed", config.out, {"cases": results})


def compare(task: Task, checkouts: dict[str, Path], rounds: int) -> dict[str, Any]:
    """The milliseconds per step of both, and the ratio with its interval."""
    steps = 0

    def seconds_per_step(checkout: Path) -> float:
        nonlocal steps
        with Process(Contender("ours"), task, checkout=checkout) as process:
            process.ask("prepare")
            steps = steps or steps_per_turn(process)
            for _ in range(WARM_UPS):
                process.ask("steps", n=steps)
            return process.ask("steps", n=steps)["seconds"] / steps

    measurements = {name: partial(seconds_per_step, path) for name, path in checkouts.items()}
    seconds = in_turn(measurements, rounds, warm_up=False)
    ratios = np.divide(seconds["new"], seconds["old"])
    samples = np.random.default_rng(0).choice(ratios, (RESAMPLES, rounds))
    low, high = np.quantile(np.median(samples, axis=1), (0.025, 0.975))
    return {
        "milliseconds per step": {
            name: summary([1000 * s for s in values]) for name, values in seconds.items()
        },
        "steps per turn": steps,
        "ratios": [round(float(ratio), 4) for ratio in ratios],
        "new / old": round(float(np.median(ratios)), 4),
        "interval": [round(float(low), 4), round(float(high), 4)],
    }


if __name__ == "__main__":
    command_line.main(main, Config, keep_compiled=False)
