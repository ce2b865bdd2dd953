"""Run an experiment in several processes of this machine, and restart them when one ends early.

python -m experiments.launch -n 2 mnist_mlp --epochs 2 --out runs/two
python -m experiments.launch -n 2 --restarts 3 mnist_mlp --out runs/two --stall-seconds 60

For trying out what a cluster does; there, srun, mpirun or Kubernetes start the processes with
`--distributed`. Restarted processes resume the run from its last checkpoint. To resume with another
number of processes, run the command again with another -n and with --resume.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from experiments.distributed import LAUNCHED

FINAL = (2, 75, 130)  # refused, terminated, interrupted: another start would end the same way


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run all attempts, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m experiments.launch", description=__doc__)
    parser.add_argument("-n", type=int, default=2, help="number of processes")
    parser.add_argument("--restarts", type=int, default=0, help="restarts after an early end")
    parser.add_argument("experiment", help="its name, as in mnist_mlp")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="its options")
    config = parser.parse_args(arguments)
    if config.n < 1 or config.restarts < 0:
        parser.error("expected -n of at least 1 and --restarts of at least 0")
    resume: list[str] = []
    for attempt in range(config.restarts + 1):
        statuses = run(config.n, [config.experiment, *config.options, *resume])
        if attempt == config.restarts or not is_restarted(statuses):
            break
        print(f"processes ended with {statuses}; restart {attempt + 1}", file=sys.stderr)
        resume = [] if "--resume" in config.options else ["--resume"]
    return next((abs(status) for status in statuses if status), 0)


def is_restarted(statuses: Sequence[int]) -> bool:
    """Whether processes that ended with these statuses are worth another start."""
    return any(statuses) and not any(status in FINAL for status in statuses)


def run(count: int, command: Sequence[str]) -> list[int]:
    """Run all processes until they end; after the first failure, end the others."""
    address = f"localhost:{free_port()}"
    processes = []
    for number in range(count):
        cluster = dict(zip(LAUNCHED, (address, str(count), str(number)), strict=True))
        words = [sys.executable, "-m", f"experiments.{command[0]}", *command[1:], "--distributed"]
        processes.append(subprocess.Popen(words, env={**os.environ, **cluster}))
    handlers = [
        signal.signal(number, lambda number, _: [p.send_signal(number) for p in processes])
        for number in (signal.SIGTERM, signal.SIGINT)
    ]
    try:
        while any(process.poll() is None for process in processes):
            if any(process.poll() for process in processes):
                end(processes, grace=15.0)
            time.sleep(0.1)
    finally:
        end(processes, grace=0.0)
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), handlers, strict=True):
            signal.signal(number, handler)
    return [process.returncode for process in processes]


def end(processes: Sequence[subprocess.Popen], grace: float) -> None:
    """Wait for the processes to notice that one has ended, and kill the rest."""
    deadline = time.monotonic() + grace
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port that no process uses."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


if __name__ == "__main__":
    sys.exit(main())
