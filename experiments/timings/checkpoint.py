"""The time to save a checkpoint, compared with `dd conv=fsync` and SHA-256 of as many bytes.

python -m experiments.timings.checkpoint --folder /a/folder/on/the/disk
python -m experiments.timings.checkpoint --out experiments/results/checkpoint.json
"""

import hashlib
import itertools
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import command_line
from experiments.timings import turns
from experiments.timings.turns import in_turn, quartiles, seconds
from jaxnets.training import Checkpoints


@dataclass(frozen=True)
class Config(turns.Config):
    """The time to save a checkpoint, compared with the disk and SHA-256 alone."""

    megabytes: int = 100
    """The size of the state, which has ten equal leaves."""
    repeats: int = 15
    """Number of rounds, each with one save, one dd, one SHA-256, and one copy on the device."""
    folder: Path = Path("runs")
    """A folder on the disk to measure; all files written there are removed."""


def main(config: Config) -> None:
    """Time the four, which take turns, and write quartiles of the seconds and of the ratios."""
    state = {
        f"leaf{n}": jax.random.normal(jax.random.key(n), (config.megabytes * 25_000,))
        for n in range(10)
    }
    copy = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree))
    config.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=config.folder) as folder:
        source = Path(folder) / "source"
        source.write_bytes(os.urandom(config.megabytes * 10**6))
        content, numbers = source.read_bytes(), itertools.count()
        checkpoints = Checkpoints(Path(folder) / "checkpoints", keep=1)
        measurements: dict[str, Any] = {
            "save": lambda: save(checkpoints, next(numbers), state),
            "dd": partial(seconds, lambda: dd(source, Path(folder) / "copy")),
            "sha256": partial(seconds, lambda: hashlib.sha256(content).digest()),
            "copy": partial(seconds, lambda: jax.block_until_ready(copy(state))),
        }
        times = in_turn(measurements, config.repeats)
    times["save"], times["held"] = zip(*times["save"], strict=True)
    report(config, {name: np.array(values) for name, values in times.items()})


def save(checkpoints: Checkpoints, step: int, state: Any) -> tuple[float, float]:
    """The seconds until a save is on the disk, and the seconds for which it blocked its caller."""
    began = time.perf_counter()
    checkpoints.save(step, state, {})
    held = time.perf_counter() - began
    checkpoints.wait()
    return time.perf_counter() - began, held


def dd(source: Path, target: Path) -> None:
    """Copy a file with the system's `dd`, and wait until it is on the disk."""
    target.unlink(missing_ok=True)
    command = ["dd", f"if={source}", f"of={target}", "bs=1M", "conv=fsync", "status=none"]
    subprocess.run(command, check=True)


def report(config: Config, times: dict[str, np.ndarray]) -> None:
    """Write the result and print its two ratios."""
    ratios = {
        "save / (dd + sha256)": quartiles(times["save"] / (times["dd"] + times["sha256"])),
        "held / copy": quartiles(times["held"] / times["copy"]),
    }
    result = {
        "megabytes": config.megabytes,
        "repeats": config.repeats,
        "seconds": {name: quartiles(values) for name, values in times.items()},
        **ratios,
    }
    turns.write("checkpoint", config.out, result)
    for name, (low, median, high) in ratios.items():
        print(f"{name}: {median:.2f} (quartiles {low:.2f} to {high:.2f}, n = {config.repeats})")


if __name__ == "__main__":
    command_line.main(main, Config, keep_compiled=False)
