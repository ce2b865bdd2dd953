"""Kill processes of a distributed run many times; the launcher restarts it, and nothing is lost.

python -m experiments.torture_processes --kills 20
python -m experiments.torture_processes --out experiments/results/torture_processes.json

Trains `experiments.mnist_mlp` in two processes without interruption. Then `experiments.launch`
trains it with a save every 0.1 s, and one of its processes, chosen at random, is ended by SIGKILL:
half of the times 0 to 40 ms after a save has begun, otherwise at a random time after its start.
SIGSTOP suspends one process; the others exit after `--stall-seconds`. The launcher restarts all
with `--resume`. The status is 0 if every run ends with the digest of the uninterrupted one, and no
saved step was lost.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from experiments import command_line
from experiments.folder import machine
from experiments.run_digest import (
    digest,
    lists_each_step_once,
    reports,
    saved_step,
    temporary_files,
)
from experiments.torture import AIM_SECONDS, ANY_MOMENT, AT_A_SAVE, wait
from jaxnets.training.report import write_json

STOPPED = "SIGSTOP"
SPARE = 5  # restarts of processes that fail by themselves, which are counted too
ENDS = {"76": "PeerLost", "77": "stalled", "-6": "ended by JAX", "-9": "SIGKILL"}


@dataclass(frozen=True)
class Config:
    """Kill processes of a distributed run many times; nothing may be lost."""

    kills: int = 20
    """Number of SIGKILLs; half of them are sent just after a save has begun."""
    stops: int = 1
    """Number of SIGSTOPs, all sent just after a save has begun."""
    processes: int = 2
    """Processes of a run."""
    stall_seconds: float = 60.0
    """Seconds without a finished chunk after which a process exits."""
    epochs: int = 4
    """The length of a run; there are as many runs as the signals require."""
    validation: int = 50_000
    """Training examples held out, so that an epoch of the others has few steps."""
    seed: int = 0
    """The seed of the times, the order and the targets of the signals."""
    data_dir: Path | None = None
    """A folder with MNIST's IDX files, instead of those that `data.load` finds."""
    out: Path | None = None
    """The JSON file to write the result to, if any."""


class Torture:
    """Runs of several processes, counts of how they ended, and errors."""

    def __init__(self, config: Config, folder: Path):
        self.config, self.folder = config, folder
        self.random = np.random.default_rng(config.seed)
        self.counts: Counter[str] = Counter()
        self.errors: list[str] = []
        self.restarts: list[str] = []  # the launcher's lines, with the statuses before each
        self.slowest = 0.0  # seconds from a SIGKILL until all processes had ended
        self.start_up = 0.0  # seconds until an uninterrupted run reports its first steps

    def uninterrupted(self) -> str:
        """The digest of an uninterrupted run, with the default chunks and saves."""
        folder, began = self.folder / "uninterrupted", time.perf_counter()
        with self._launcher(folder, "mnist_mlp", 0) as launcher:
            wait(launcher, lambda: reports(folder))
            self.start_up = time.perf_counter() - began
            if launcher.wait() != 0:
                sys.exit(f"error: the uninterrupted run failed:\n{_log(folder).read_text()}")
        return digest(folder)

    def run(self, ends: list[str]) -> str:
        """The digest of a run whose processes are sent signals, which are popped from `ends`."""
        self.counts["runs"] += 1
        folder, old = self.folder / f"run{self.counts['runs']}", set[int]()
        with self._launcher(folder, "frequent_saves", len(ends) + SPARE) as launcher:
            while ends and launcher.poll() is None:
                old = self._send(launcher, folder, ends, old)
            status = launcher.wait()
        log = _log(folder).read_text("utf-8")
        self.restarts += [line for line in log.splitlines() if "; restart " in line]
        if status != 0:
            sys.exit(f"error: the launcher ended with status {status}:\n{log}")
        if not lists_each_step_once(folder):
            self.errors.append(f"{folder}: metrics.jsonl does not have each step once and in order")
        return digest(folder)

    def _send(
        self, launcher: subprocess.Popen, folder: Path, ends: list[str], old: set[int]
    ) -> set[int]:
        """Send one signal to one of the processes; return the processes of that start."""
        end, before, stale = ends[-1], saved_step(folder), temporary_files(folder)
        self.counts["resumes"] += before > 0
        wait(launcher, lambda: len(_children(launcher) - old) == self.config.processes)
        peers = _children(launcher) - old
        if end == ANY_MOMENT:
            time.sleep(self.random.uniform(0, self.start_up))
        else:
            wait(launcher, lambda: saved_step(folder) > before)
            wait(launcher, lambda: temporary_files(folder) - stale)
            time.sleep(self.random.uniform(0, AIM_SECONDS))
        if len(peers & _children(launcher)) < self.config.processes:
            return peers  # the run is over, or a process failed by itself
        saved = saved_step(folder)
        number = signal.SIGSTOP if end == STOPPED else signal.SIGKILL
        os.kill(int(self.random.choice(sorted(peers))), number)
        self.counts["into a save"] += bool(temporary_files(folder) - stale)
        sent = time.monotonic()
        wait(launcher, lambda: not peers & _children(launcher))
        seconds = time.monotonic() - sent
        wait(launcher, lambda: _children(launcher) - peers)
        if launcher.poll() == 0:
            return peers  # the signal came too late
        self.slowest = max(self.slowest, seconds if end != STOPPED else 0.0)
        self.counts[ends.pop()] += 1
        if saved_step(folder) < saved:
            self.errors.append(f"{folder}: step {saved} was saved, and is lost")
        return peers

    @contextmanager
    def _launcher(self, folder: Path, name: str, restarts: int) -> Iterator[subprocess.Popen]:
        """A launcher of processes that train in `folder`; all are ended with the block."""
        config = self.config
        values = {"epochs": config.epochs, "validation": config.validation, "out": folder}
        values["data-dir"] = config.data_dir
        values["stall-seconds"] = config.stall_seconds if restarts else None
        options = [f"--{name}={value}" for name, value in values.items() if value is not None]
        launch = ["-m", "experiments.launch", f"-n={config.processes}", f"--restarts={restarts}"]
        with open(_log(folder), "w") as log:
            launcher = subprocess.Popen(
                [sys.executable, *launch, name, *options],
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )
            try:
                yield launcher
            finally:
                for child in _children(launcher):
                    os.kill(child, signal.SIGKILL)
                launcher.kill()
                launcher.wait()


def _log(folder: Path) -> Path:
    return folder.with_suffix(".log")


def _children(launcher: subprocess.Popen) -> set[int]:
    """The processes that the launcher has started, and that have not been waited for."""
    if launcher.poll() is not None:
        return set()
    path = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children")
    return {int(child) for child in path.read_text().split()}


def ended(lines: list[str]) -> dict[str, int]:
    """How many processes ended in each way, from the launcher's lines before its restarts."""
    statuses: list[str] = re.findall(r"-?\d+(?=[,\]])", "\n".join(lines))
    return dict(Counter(ENDS.get(status, status) for status in statuses))


def main(config: Config) -> int:
    """Run and end processes, print the counts, and return the exit status."""
    ends = [AT_A_SAVE] * -(-config.kills // 2) + [ANY_MOMENT] * (config.kills // 2)
    ends += [STOPPED] * config.stops
    digests = []
    with tempfile.TemporaryDirectory(prefix="jaxnets-torture-") as folder:
        torture = Torture(config, Path(folder))
        torture.random.shuffle(ends)
        expected = torture.uninterrupted()
        while ends:
            digests.append(torture.run(ends))
            same = "the same" if digests[-1] == expected else "ANOTHER"
            print(f"run {len(digests)}: {same} digest; {len(ends)} signals left", flush=True)
    same = digests.count(expected)
    times = os.times()
    minutes = (times.children_user + times.children_system) / 60
    table = {**torture.counts, "ends": ended(torture.restarts)}
    table |= {"restarts": len(torture.restarts)}
    table |= {"slowest end, seconds": round(torture.slowest, 1)}
    table |= {"digests equal": f"{same} of {len(digests)}", "CPU minutes": round(minutes, 1)}
    for name, value in table.items():
        print(f"{name:{max(map(len, table))}}  {value}")
    for message in torture.errors:
        print(f"error: {message}", file=sys.stderr)
    right = same == len(digests) and not torture.errors
    if config.out is not None:
        options = asdict(config) | {"out": None}
        result = {**table, "right": right, "digest": expected, "config": options, **machine()}
        write_json(config.out, result)
    return 0 if right else 1


if __name__ == "__main__":
    command_line.main(lambda config: sys.exit(main(config)), Config, keep_compiled=False)
