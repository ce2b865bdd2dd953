"""Kill a training run many times and resume it; the final weights must be the same, bit for bit.

python -m experiments.torture --kills 50 --terms 20 --interrupts 10
python -m experiments.torture --out experiments/results/torture.json

Trains `experiments.mnist_mlp` once without interruption. Then trains it repeatedly in child
processes that save every 0.1 s, ends them with SIGKILL, SIGTERM and Ctrl-C, and resumes them. Half
of the SIGKILLs are sent at a random time after the start of a child; the others 0 to 40 ms after a
temporary file shows that a checkpoint is being written. The status is 0 if every run ends with the
digest of the uninterrupted one and a complete log, and no saved step was lost. About 5 minutes on a
CPU. With `--stream` the children read the data during training, each with a random number of
threads. `experiments.torture_processes` does the same to runs of several processes.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import numpy as np

from experiments import command_line
from experiments.frequent_saves import CHUNK_SECONDS
from experiments.run_digest import (
    digest,
    is_trained,
    lists_each_step_once,
    reports,
    saved_step,
    temporary_files,
)
from jaxnets.training.report import write_json

AIM_SECONDS = 0.04  # maximum delay after the beginning of a save
ANY_MOMENT, AT_A_SAVE = "SIGKILL, any moment", "SIGKILL, 0 to 40 ms into a save"
# How a child is ended, and the expected exit status.
STATUS = {ANY_MOMENT: -9, AT_A_SAVE: -9, "SIGTERM": 75, "SIGINT": 130}
ROWS = (*STATUS, "into a save", "runs", "resumes", "fallbacks")


@dataclass(frozen=True)
class Config:
    """Kill a training run many times; the final weights must be the same, bit for bit."""

    kills: int = 50
    """Number of SIGKILLs; half of them are sent just after a save has begun."""
    terms: int = 20
    """Number of SIGTERMs during training."""
    interrupts: int = 10
    """Number of Ctrl-Cs during training."""
    epochs: int = 8
    """The length of a run; there are as many runs as the signals require."""
    batch_size: int = 128
    """Examples per step."""
    validation: int = 5000
    """Training examples held out."""
    seed: int = 0
    """The seed of the times and the order of the signals."""
    stream: bool = False
    """Read the examples as a stream, with 1 to 4 threads, drawn at random for each child."""
    data_dir: Path | None = None
    """A folder with MNIST's IDX files, instead of those that `data.load` finds."""
    out: Path | None = None
    """The JSON file to write the result to, if any."""


class Torture:
    """Runs in child processes, counts of how they ended, and errors."""

    def __init__(self, config: Config, folder: Path):
        self.config, self.folder = config, folder
        self.random = np.random.default_rng(config.seed)
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []
        self.start_up = 0.0  # seconds until an uninterrupted run reports its first steps

    def uninterrupted(self) -> str:
        """The digest of an uninterrupted run, with the default chunks and saves."""
        folder, began = self.folder / "uninterrupted", time.perf_counter()
        with self._child(folder, "-m", "experiments.mnist_mlp") as child:
            wait(child, lambda: reports(folder))
            self.start_up = time.perf_counter() - began
            if child.wait() != 0:
                sys.exit(f"error: the uninterrupted run failed:\n{_errors(folder)}")
        return digest(folder)

    def run(self, ends: list[str]) -> str:
        """The digest of a run that is interrupted by signals, which are popped from `ends`."""
        self.counts["runs"] += 1
        folder = self.folder / f"run{self.counts['runs']}"
        while not self._run_child(folder, ends):
            pass
        if not lists_each_step_once(folder):
            self.errors.append(f"{folder}: metrics.jsonl does not have each step once and in order")
        return digest(folder)

    def _run_child(self, folder: Path, ends: list[str]) -> bool:
        """Start or resume the run, and end it early; return whether it finished before that."""
        end, before, stale = ends[-1] if ends else None, saved_step(folder), temporary_files(folder)
        self.counts["resumes"] += before > 0
        workers = [f"--workers={self.random.integers(1, 5)}"] if self.config.stream else []
        with self._child(folder, "-m", "experiments.frequent_saves", "--resume", *workers) as child:
            if end is not None:
                self._end(child, folder, end, before, stale)
            status = child.wait()
        errors = _errors(folder)
        self.counts["fallbacks"] += errors.count("Falling back to")
        if saved_step(folder) < before:
            self.errors.append(f"{folder}: step {before} was saved, and is lost")
        if status == 0:
            return True
        if end is None or (status != STATUS[end] and not is_trained(folder)):
            sys.exit(f"error: a child ended with status {status} after {end}:\n{errors}")
        if end.startswith("SIGKILL") or not is_trained(
            folder
        ):  # otherwise the signal came too late
            self.counts[ends.pop()] += 1
            self.counts["into a save"] += bool(temporary_files(folder) - stale)
        return False

    def _end(
        self, child: subprocess.Popen, folder: Path, end: str, before: int, stale: set[str]
    ) -> None:
        """Wait for the time of the signal, and send it."""
        if end == ANY_MOMENT:
            number, seconds = signal.SIGKILL, 2 * self.start_up
        elif end == AT_A_SAVE:
            number, seconds = signal.SIGKILL, AIM_SECONDS
            wait(child, lambda: temporary_files(folder) - stale)
        else:
            number, seconds = signal.Signals[end], 3 * CHUNK_SECONDS
            wait(child, lambda: saved_step(folder) > before)
        with suppress(subprocess.TimeoutExpired):
            child.wait(self.random.uniform(0, seconds))
        child.send_signal(number)

    @contextmanager
    def _child(self, folder: Path, *command: str) -> Iterator[subprocess.Popen]:
        """A child that trains in `folder`; killed at the end of the block."""
        names = ("epochs", "batch_size", "validation", "data_dir")
        values = {name: getattr(self.config, name) for name in names} | {"out": folder}
        options = [f"--{n.replace('_', '-')}={v}" for n, v in values.items() if v is not None]
        with open(_log(folder), "w") as log:
            # In a new session, so that Ctrl-C in the terminal does not reach it.
            child = subprocess.Popen(
                [sys.executable, *command, *options],
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
            try:
                yield child
            finally:
                child.kill()
                child.wait()


def _log(folder: Path) -> Path:
    return folder.with_suffix(".log")


def _errors(folder: Path) -> str:
    return _log(folder).read_text(encoding="utf-8")


def wait(child: subprocess.Popen, until: Callable[[], object]) -> None:
    """Wait until a condition holds, or until the child ends."""
    while not until() and child.poll() is None:
        time.sleep(0.001)


def main(config: Config) -> int:
    """Run and end children, print the counts, and return the exit status."""
    ends = [AT_A_SAVE] * -(-config.kills // 2) + [ANY_MOMENT] * (config.kills // 2)
    ends += ["SIGTERM"] * config.terms + ["SIGINT"] * config.interrupts
    began, digests = time.perf_counter(), []
    with tempfile.TemporaryDirectory(prefix="jaxnets-torture-") as folder:
        torture = Torture(config, Path(folder))
        torture.random.shuffle(ends)
        expected = torture.uninterrupted()
        while ends:
            digests.append(torture.run(ends))
            same = "the same" if digests[-1] == expected else "ANOTHER"
            print(f"run {len(digests)}: {same} digest; {len(ends)} signals left", flush=True)
    same = digests.count(expected)
    table = {name: torture.counts[name] for name in ROWS}
    table |= {"digests equal": f"{same} of {len(digests)}"}
    table |= {"minutes": round((time.perf_counter() - began) / 60, 1)}
    for name, value in table.items():
        print(f"{name:{max(map(len, table))}}  {value}")
    for message in torture.errors:
        print(f"error: {message}", file=sys.stderr)
    right = same == len(digests) and not torture.errors
    if config.out is not None:
        result = {**table, "right": right, "digest": expected, "config": asdict(config)}
        result |= {"jax": jax.__version__, "cores": os.cpu_count()}
        write_json(config.out, result)
    return 0 if right else 1


if __name__ == "__main__":
    command_line.main(lambda config: sys.exit(main(config)), Config, keep_compiled=False)
