"""The time from the start of a process to step 16, and to the end of one epoch.

python -m experiments.timings.startup
python -m experiments.timings.startup --out experiments/results/startup.json

The network is 784-500-300-10 on MNIST, batch 128, Adam: with jaxnets, and by hand in JAX and optax;
see `experiments/timings/processes`. "warm" processes load their compiled programs from JAX's cache
on disk, "cold" ones compile them. `python -m experiments.bench --processes` times whole processes
of other libraries.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments import command_line
from experiments.timings import turns
from experiments.timings.turns import in_turn, quartiles

MODULES = {"jaxnets": "with_jaxnets", "by hand": "by_hand"}
RATIOS = {
    "first steps, warm, jaxnets / by hand": ("first", "jaxnets, warm", "by hand, warm"),
    "first steps, cold, jaxnets / by hand": ("first", "jaxnets, cold", "by hand, cold"),
    "one epoch, warm, jaxnets / by hand": ("whole", "jaxnets, warm", "by hand, warm"),
    "one epoch, cold, jaxnets / by hand": ("whole", "jaxnets, cold", "by hand, cold"),
}


@dataclass(frozen=True)
class Config(turns.Config):
    """The time from the start of a process to step 16, and to the end of one epoch."""

    repeats: int = 10
    """Number of rounds, each with one process of every kind."""


class Timing(NamedTuple):
    """Seconds from a process's start to step 16, and to its end; its test accuracy."""

    first: float
    whole: float
    accuracy: float


def main(config: Config) -> None:
    """Time the processes; write quartiles of their seconds and of the ratios."""
    with tempfile.TemporaryDirectory() as warm:
        times = in_turn(processes(Path(warm)), config.repeats)
    seconds = {
        part: {name: [getattr(timing, part) for timing in values] for name, values in times.items()}
        for part in ("first", "whole")
    }
    accuracies = {name: np.median([t.accuracy for t in values]) for name, values in times.items()}
    ratios = {
        name: quartiles(np.divide(seconds[part][ours], seconds[part][theirs]))
        for name, (part, ours, theirs) in RATIOS.items()
    }
    result = {
        "network": "784-500-300-10, batch 128, Adam, one epoch of MNIST",
        "repeats": config.repeats,
        "seconds to 16 steps": {k: quartiles(v) for k, v in seconds["first"].items()},
        "seconds in all": {k: quartiles(v) for k, v in seconds["whole"].items()},
        "test accuracy": {name: round(float(a), 4) for name, a in accuracies.items()},
        "ratios": ratios,
    }
    turns.write("startup", config.out, result)
    for name, (low, median, high) in ratios.items():
        print(f"{name}: {median:.3f} (quartiles {low:.3f} to {high:.3f})")


def processes(warm: Path) -> dict[str, Callable[[], Timing]]:
    """The measurement of each process, by name; warm ones share the cache `warm`."""

    def run_cold(module: str) -> Timing:
        with tempfile.TemporaryDirectory() as empty:
            return run(module, Path(empty))

    return {
        f"{name}, {cache}": measure
        for name, module in MODULES.items()
        for cache, measure in (
            ("warm", lambda module=module: run(module, warm)),
            ("cold", partial(run_cold, module)),
        )
    }


def run(module: str, cache: Path) -> Timing:
    """Time a process with a compilation cache; it prints its first line after 16 steps."""
    settings = {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "PYTHONDONTWRITEBYTECODE": "",  # or every process would compile the Python code again
    }
    command = [sys.executable, "-m", f"experiments.timings.processes.{module}"]
    began = time.perf_counter()
    options: Any = {"stdout": subprocess.PIPE, "text": True}
    options["start_new_session"] = True  # so that Ctrl-C leaves no traceback of the child
    with subprocess.Popen(command, env=os.environ | settings, **options) as process:
        try:
            process.stdout.readline()
            first = time.perf_counter() - began
            *_, last = process.stdout.read().splitlines() or [""]
        except BaseException:
            process.kill()
            raise
    whole = time.perf_counter() - began
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Timing(first, whole, float(last))


if __name__ == "__main__":
    command_line.main(main, Config, keep_compiled=False)
