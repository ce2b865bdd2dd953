"""How long saving a checkpoint takes beside `dd conv=fsync` of its bytes and their SHA-256.

python -m experiments.bench.checkpoint --folder /a/folder/on/the/disk
"""

import hashlib
import os
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments import common
from experiments.bench.import_time import quartiles
from experiments.folder import write_json
from jaxnets.training import Checkpoints


@dataclass(frozen=True)
class Config:
    """How long saving takes beside what the disk and SHA-256 need."""

    megabytes: int = 100
    """Size of the state, in ten equal leaves."""
    repeats: int = 15
    """Rounds, each of one save, one dd with one SHA-256, and one copy on the device."""
    folder: Path = Path()
    """A folder on the disk to be measured; what is written in it is removed again."""
    out: Path = Path("experiments/results/checkpoint.json")
    """The JSON file to write."""


def main(config: Config) -> None:
    """Time the three in turn, and write medians and quartiles of the seconds and of the ratios."""
    state = {
        f"leaf{n}": jax.random.normal(jax.random.key(n), (config.megabytes * 25_000,))
        for n in range(10)
    }
    copy = jax.jit(lambda tree: jax.tree.map(jnp.copy, tree))
    names = ("save", "held", "dd", "sha256", "copy")
    times: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory(dir=config.folder) as folder:
        source = Path(folder) / "source"
        source.write_bytes(os.urandom(config.megabytes * 10**6))
        content = source.read_bytes()
        checkpoints = Checkpoints(Path(folder) / "checkpoints", keep=1)
        for step in range(config.repeats + 1):  # the first compiles, and is not counted
            saved = save(checkpoints, step, state)
            round_ = {
                **saved,
                "dd": seconds(lambda: dd(source, Path(folder) / "copy")),
                "sha256": seconds(lambda: hashlib.sha256(content).digest()),
                "copy": seconds(lambda: jax.block_until_ready(copy(state))),
            }
            for name in names if step else ():
                times[name].append(round_[name])
    report(config, {name: np.array(values) for name, values in times.items()})


def save(checkpoints: Checkpoints, step: int, state: Any) -> dict[str, float]:
    """Seconds until a save is on the disk, and those of them in which it held its caller."""
    began = time.perf_counter()
    checkpoints.save(step, state, {})
    held = time.perf_counter() - began
    checkpoints.wait()
    return {"save": time.perf_counter() - began, "held": held}


def dd(source: Path, target: Path) -> None:
    """Copy a file as the system does, and wait until it is on the disk."""
    target.unlink(missing_ok=True)
    command = ["dd", f"if={source}", f"of={target}", "bs=1M", "conv=fsync", "status=none"]
    subprocess.run(command, check=True)


def seconds(function: Callable[[], Any]) -> float:
    """The wall time of a call."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def report(config: Config, times: dict[str, np.ndarray]) -> None:
    """Write the result as JSON and print its two ratios."""
    result = {
        "megabytes": config.megabytes,
        "repeats": config.repeats,
        "seconds": {name: quartiles(values) for name, values in times.items()},
        "save / (dd + sha256)": quartiles(times["save"] / (times["dd"] + times["sha256"])),
        "held / copy": quartiles(times["held"] / times["copy"]),
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "jax": jax.__version__,
    }
    config.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(config.out, result)
    for name in ("save / (dd + sha256)", "held / copy"):
        low, middle, high = result[name]
        print(f"{name}: {middle:.2f} (quartiles {low:.2f} to {high:.2f}, n = {config.repeats})")


if __name__ == "__main__":
    common.main(main, Config, keep_compiled=False)
