"""The kernels that a training step launches on a GPU, and how long each runs, from a profile.

python -m experiments.timings.kernels
python -m experiments.timings.kernels --out experiments/results/kernels.json

Steps of the benchmark's networks, in one compiled chunk. Copies count as kernels. Kernels may run
side by side, so the sum of their times can exceed the time of a step.
"""

import gzip
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from experiments import command_line
from experiments.bench.peers.ours import make
from experiments.bench.task import Task
from experiments.timings import turns
from jaxnets.json_files import decode
from jaxnets.training import RunError

TASKS = (
    Task("mlp", 128, "float32"),
    Task("cnn_bn", 128, "float32"),
    Task("cnn_bn", 512, "bfloat16"),
)
SHOWN = 40  # kernels in the result, those that take the longest


@dataclass(frozen=True)
class Config(turns.Config):
    """Kernels of a training step on a GPU."""

    steps: int = 64
    """Steps in the profile."""


def main(config: Config) -> None:
    """Profile each network, print a line for each, and write the kernels.

    Raises:
      RunError: JAX does not run on a GPU; profiles of other devices list no kernels.
    """
    if (platform := jax.default_backend()) != "gpu":
        raise RunError(f"expected a GPU, but JAX runs on the {platform}; run it on a GPU")
    results = []
    for task in TASKS:
        with tempfile.TemporaryDirectory() as folder:
            trainer = make(task)
            trainer.prepare()
            for _ in range(2):
                trainer.steps(config.steps)
            with jax.profiler.trace(folder):
                trainer.steps(config.steps)
            (path,) = Path(folder).rglob("*.trace.json.gz")
            events = decode(gzip.decompress(path.read_bytes()))["traceEvents"]
        kernels = per_step(events, config.steps)
        result = {"case": task.case, "batch_size": task.batch_size, "dtype": task.dtype, **kernels}
        results.append(result)
        print(
            f"{task.case}, batch {task.batch_size}, {task.dtype}: {result['launches']:.1f} kernels "
            f"per step, which take {result['microseconds']:.0f} us",
            flush=True,
        )
    turns.write("kernels", config.out, {"steps": config.steps, "results": results})


def per_step(events: Iterable[Mapping[str, Any]], steps: int) -> dict[str, Any]:
    """Launches and microseconds per step, in all and by kernel, from the events of a trace."""
    events = list(events)
    gpus = {
        event["pid"]
        for event in events
        if event.get("name") == "process_name" and "GPU" in event["args"]["name"]
    }
    kernels: dict[str, list[float]] = {}
    for event in events:
        if event.get("ph") == "X" and event["pid"] in gpus:
            launches_and_time = kernels.setdefault(event["name"], [0.0, 0.0])
            launches_and_time[0] += 1 / steps
            launches_and_time[1] += event["dur"] / steps
    longest = sorted(kernels.items(), key=lambda item: -item[1][1])[:SHOWN]
    return {
        "launches": sum(n for n, _ in kernels.values()),
        "microseconds": sum(time for _, time in kernels.values()),
        "kernels": [{"name": k, "launches": n, "microseconds": t} for k, (n, t) in longest],
    }


if __name__ == "__main__":
    command_line.main(main, Config, keep_compiled=False)
