"""How long a process takes to its first 16 steps, and to the end of one epoch.

python -m experiments.bench.startup

The network is 784-500-300-10 on MNIST, batch 128, Adam: with jaxnets, and by hand in JAX and optax;
see `experiments/bench/processes`. "warm" finds its compiled programs in JAX's cache on disk, "cold"
compiles them. `python -m experiments.bench --processes` has the peers' whole processes.
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from experiments import common
from experiments.bench.import_time import quartiles
from experiments.folder import machine, write_json

RATIOS = {
    "first steps, warm, jaxnets / by hand": ("first", "jaxnets, warm", "by hand, warm"),
    "first steps, cold, jaxnets / by hand": ("first", "jaxnets, cold", "by hand, cold"),
    "one epoch, warm, jaxnets / by hand": ("whole", "jaxnets, warm", "by hand, warm"),
    "one epoch, cold, jaxnets / by hand": ("whole", "jaxnets, cold", "by hand, cold"),
}


@dataclass(frozen=True)
class Config:
    """How long a process takes to its first 16 steps, and to the end of one epoch."""

    repeats: int = 10
    """Rounds, each of one process of every kind, in turn."""
    out: Path = Path("experiments/results/startup.json")
    """The JSON file to write."""


def main(config: Config) -> None:
    """Time the processes in turn; write quartiles of their seconds and of the ratios."""
    with tempfile.TemporaryDirectory() as warm:
        times = in_turn(config.repeats, Path(warm))
    seconds = {
        part: {name: [run[i] for run in runs] for name, runs in times.items()}
        for i, part in enumerate(("first", "whole"))
    }
    accuracies = {name: np.median([run[2] for run in runs]) for name, runs in times.items()}
    ratios = {
        name: quartiles(np.divide(seconds[part][ours], seconds[part][theirs]))
        for name, (part, ours, theirs) in RATIOS.items()
    }
    result = {
        "network": "784-500-300-10, batch 128, Adam, one epoch of MNIST",
        "repeats": config.repeats,
        "seconds to 16 steps": {k: quartiles(np.array(v)) for k, v in seconds["first"].items()},
        "seconds in all": {k: quartiles(np.array(v)) for k, v in seconds["whole"].items()},
        "test accuracy": {name: round(float(a), 4) for name, a in accuracies.items()},
        "ratios": ratios,
        **machine(),
    }
    config.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(config.out, result)
    for name, (low, middle, high) in ratios.items():
        print(f"{name}: {middle:.3f} (quartiles {low:.3f} to {high:.3f})")


def in_turn(repeats: int, warm: Path) -> dict[str, list[tuple[float, float, float]]]:
    """What `run` gives of each process, A/B/A/B, after one unmeasured round that fills `warm`."""
    modules = {"jaxnets": "with_jaxnets", "by hand": "by_hand"}
    times = {f"{name}, {cache}": [] for name in modules for cache in ("warm", "cold")}
    for round_number in range(repeats + 1):
        for name, runs in times.items():
            with tempfile.TemporaryDirectory() as empty:
                cache = Path(empty) if name.endswith("cold") else warm
                runs.append(run(modules[name.split(", ")[0]], cache))
            del runs[: round_number == 0]
    return times


def run(module: str, cache: Path) -> tuple[float, float, float]:
    """Seconds to a process's first line, which its first 16 steps print, to its end; its accuracy.

    It compiles into `cache`, and finds there what is compiled.
    """
    settings = {
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "PYTHONDONTWRITEBYTECODE": "",  # or every process would compile our Python anew
    }
    command = [sys.executable, "-m", f"experiments.bench.processes.{module}"]
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
    return first, whole, float(last)


if __name__ == "__main__":
    common.main(main, Config, keep_compiled=False)
