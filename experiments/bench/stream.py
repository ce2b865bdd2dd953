"""What reading data while training costs, beside the same data in memory.

python -m experiments.bench.stream

Steps of `mlp` and `cnn_bn` on MNIST, resident and as a `data.Stream` of memory maps, in turns; the
ratio of wall times, reading included, with quartiles. Then a fresh process trains on a memory map
of 4 GB and reports the largest anonymous memory that it had. About 5 minutes on two cores.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from experiments import common
from experiments.bench.import_time import quartiles
from experiments.bench.peers import ours
from experiments.folder import machine, write_json
from jaxnets import data, losses
from jaxnets.json_files import decode
from jaxnets.training import Run, make_train_step, start_run

BATCH_SIZE = 128
ROWS = 5_500_000  # of 784 bytes: 4.3 GB


@dataclass(frozen=True)
class Config:
    """What reading data while training costs."""

    rounds: int = 10
    """Turns of each."""
    steps: int = 468
    """Steps per turn: those of an epoch of MNIST."""
    out: Path = Path("experiments/results/stream.json")
    """The JSON file to write."""


def main(config: Config) -> None:
    """Measure, print and write."""
    with tempfile.TemporaryDirectory(prefix="jaxnets-stream-") as folder:
        result: dict[str, Any] = {
            case: overhead(case, config, Path(folder)) for case in ("mlp", "cnn_bn")
        }
        result["memory map"] = in_a_process(Path(folder))
    result |= {"rounds": config.rounds, "steps": config.steps, "batch_size": BATCH_SIZE}
    print(json.dumps(result, indent=2))
    config.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(config.out, {**result, **machine()})


def overhead(case: str, config: Config, folder: Path) -> dict[str, Any]:
    """The time of a step by stream over that in memory."""
    train = data.load("mnist").train
    names = [folder / f"{case}-{part}.npy" for part in ("x", "y")]
    for name, array in zip(names, train, strict=True):
        np.save(name, array)
    maps = tuple(np.load(name, mmap_mode="r") for name in names)
    runs = {"resident": _start(case, train), "stream": _start(case, data.Stream(maps))}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(config.rounds + 1):
        for name in runs:
            began = time.perf_counter()
            runs[name] = ours.go(runs[name], config.steps)
            if turn:  # the first also warms up
                times[name].append((time.perf_counter() - began) / config.steps)
    milliseconds = {name: quartiles(1e3 * np.array(values)) for name, values in times.items()}
    ratio = np.divide(times["stream"], times["resident"])
    return {"milliseconds per step": milliseconds, "stream / resident": quartiles(ratio)}


def _start(case: str, examples: Any) -> Run:
    train_step = make_train_step(ours.model(case), optax.adam(1e-3), losses.softmax_cross_entropy)
    return start_run(
        train_step,
        examples,
        key=jax.random.key(0),
        batch_size=BATCH_SIZE,
        on_nonfinite="ignore",
    )


def in_a_process(folder: Path) -> dict[str, Any]:
    """The memory of a fresh process that trains on a map of `ROWS` images."""
    path = folder / "images.npy"
    images = np.lib.format.open_memmap(path, "w+", np.uint8, (ROWS, 28, 28, 1))
    digits = data.load("mnist").train.x
    for start in range(0, ROWS, len(digits)):
        images[start : start + len(digits)] = digits[: ROWS - start]
    images.flush()
    del images
    command = [
        sys.executable,
        "-c",
        f"from experiments.bench import stream; stream.child({str(path)!r})",
    ]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return decode(found.stdout.splitlines()[-1]) | {"bytes": path.stat().st_size}


def child(path: str) -> None:
    """Train some steps on the map, and print the largest anonymous memory in bytes."""
    peak, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            peak[0] = max(peak[0], _anonymous_bytes())

    threading.Thread(target=watch, daemon=True).start()
    images = np.load(path, mmap_mode="r")
    examples = data.Stream((images, np.arange(len(images), dtype=np.int32) % 10))
    run = ours.go(_start("mlp", examples), 2000)
    over.set()
    print(json.dumps({"steps": run.step, "peak anonymous bytes": peak[0]}))


def _anonymous_bytes() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    common.main(main, Config, keep_compiled=False)
