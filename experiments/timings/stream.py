"""The cost of reading data during training, compared with the same data in memory.

python -m experiments.timings.stream

Times steps of `mlp` and `cnn_bn` on MNIST, alternately with the data in memory and as a
`data.Stream` of memory maps; reports the ratio of wall times, including reading, with quartiles.
Then a fresh process trains on a memory map of 4 GB and reports its peak anonymous memory. About 5
minutes on two cores.
"""

import json
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from experiments import command_line
from experiments.bench.peers import ours
from experiments.timings import turns
from experiments.timings.turns import in_turn, quartiles, seconds
from jaxnets import data, losses
from jaxnets.json_files import decode
from jaxnets.training import Run, make_train_step, start_run

BATCH_SIZE = 128
ROWS = 5_500_000  # 4.3 GB, with 784 bytes per row


@dataclass(frozen=True)
class Config(turns.Config):
    """The cost of reading data during training."""

    rounds: int = 10
    """Turns with the data in memory, and as many with a stream."""
    steps: int = 468
    """Steps per turn; the default is one epoch of MNIST."""


def main(config: Config) -> None:
    """Measure, and print and write the results."""
    with tempfile.TemporaryDirectory(prefix="jaxnets-stream-") as folder:
        result: dict[str, Any] = {
            case: overhead(case, config, Path(folder)) for case in ("mlp", "cnn_bn")
        }
        result["memory map"] = memory_of_process(Path(folder))
    result |= {"rounds": config.rounds, "steps": config.steps, "batch_size": BATCH_SIZE}
    print(json.dumps(result, indent=2))
    turns.write("stream", config.out, result)


def overhead(case: str, config: Config, folder: Path) -> dict[str, Any]:
    """The time per step on a stream, divided by the time in memory."""
    train = data.load("mnist").train
    names = [folder / f"{case}-{part}.npy" for part in ("x", "y")]
    for name, array in zip(names, train, strict=True):
        np.save(name, array)
    maps = tuple(np.load(name, mmap_mode="r") for name in names)
    runs = {"resident": _start(case, train), "stream": _start(case, data.Stream(maps))}

    def advance(name: str) -> None:
        runs[name] = ours.take_steps(runs[name], config.steps)

    times = in_turn({n: partial(seconds, partial(advance, n)) for n in runs}, config.rounds)
    milliseconds = {
        name: quartiles(1e3 * np.array(values) / config.steps) for name, values in times.items()
    }
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


def memory_of_process(folder: Path) -> dict[str, Any]:
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
        f"from experiments.timings import stream; stream.child({str(path)!r})",
    ]
    process = subprocess.run(command, check=True, capture_output=True, text=True)
    return decode(process.stdout.splitlines()[-1]) | {"bytes": path.stat().st_size}


def child(path: str) -> None:
    """Train some steps on the map, and print the peak anonymous memory in bytes."""
    peak, finished = [0], threading.Event()

    def watch() -> None:
        while not finished.wait(0.02):
            peak[0] = max(peak[0], _anonymous_bytes())

    threading.Thread(target=watch, daemon=True).start()
    images = np.load(path, mmap_mode="r")
    examples = data.Stream((images, np.arange(len(images), dtype=np.int32) % 10))
    run = ours.take_steps(_start("mlp", examples), 2000)
    finished.set()
    print(json.dumps({"steps": run.step, "peak anonymous bytes": peak[0]}))


def _anonymous_bytes() -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


if __name__ == "__main__":
    command_line.main(main, Config, keep_compiled=False)
