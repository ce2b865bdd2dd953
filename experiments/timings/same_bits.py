"""Checks that training in two checkouts is bit-identical: compares every leaf of twelve short runs.

python -m experiments.timings.same_bits --old PATH [--new PATH]
python -m experiments.timings.same_bits --old . --stream

Each run is a fresh process with the checkout first on its path. It writes the leaves of its last
train state to a file; values must be equal bit for bit. The status is 1 if any differs. With
`--stream` the new checkout reads its data from a `data.Stream`. About 4 minutes on two cores.
"""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments import command_line

RUNS = (
    *("mlp", "cnn", "ema", "bfloat16", "patience", "pad", "population_vmap", "population_map"),
    *("resumed", "two_devices", "sgd", "deck"),
)


@dataclass(frozen=True)
class Config:
    """Check that training in two checkouts is bit-identical."""

    old: Path
    """The checkout to compare with."""
    new: Path = Path(".")
    """The checkout to check."""
    runs: tuple[str, ...] = RUNS
    """Names of the runs to compare."""
    stream: bool = False
    """Train the new checkout on a `data.Stream`. Skips populations, since their members do not
    share batches."""


def main(config: Config) -> None:
    """Run all runs in both checkouts, and print the leaves that differ."""
    unequal = 0
    runs = [name for name in config.runs if not (config.stream and name.startswith("population"))]
    with tempfile.TemporaryDirectory(prefix="jaxnets-bits-") as folder:
        for name in runs:
            old = _leaves(config.old.resolve(), name, Path(folder) / f"{name}-old.npz")
            path = Path(folder) / f"{name}-new.npz"
            new = _leaves(config.new.resolve(), name, path, stream=config.stream)
            differences = _differences(old, new)
            unequal += bool(differences)
            print(f"{name:16} {len(old):3} leaves  {differences or 'equal'}", flush=True)
    if unequal:
        sys.exit(1)


def _leaves(
    checkout: Path, name: str, path: Path, *, stream: bool = False
) -> dict[str, np.ndarray]:
    flags = "--xla_force_host_platform_device_count=2" if name == "two_devices" else ""
    environment = os.environ | {"PYTHONPATH": str(checkout), "XLA_FLAGS": flags}
    script = Path(__file__).with_name("same_bits_runs.py")
    command = [sys.executable, str(script), name, str(path), *(["stream"] if stream else [])]
    subprocess.run(command, cwd=checkout, env=environment, check=True, stdout=subprocess.DEVNULL)
    with np.load(path) as arrays:
        return dict(arrays)


def _differences(old: dict[str, np.ndarray], new: dict[str, np.ndarray]) -> str:
    names = [f"only in one: {name}" for name in old.keys() ^ new.keys()]
    for name in old.keys() & new.keys():
        a, b = old[name], new[name]
        if a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes():
            names.append(name)
    return ", ".join(sorted(names))


if __name__ == "__main__":
    command_line.main(main, Config, keep_compiled=False)
