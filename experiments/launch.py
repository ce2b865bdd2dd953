"""Run an experiment in several processes of this machine, and restart them when one ends early.

python -m experiments.launch -n 2 mnist_mlp --epochs 2 --out runs/two
python -m experiments.launch -n 2 --restarts 3 mnist_mlp --out runs/two --stall-seconds 60

For testing on one machine what a cluster does; there, srun, mpirun or Kubernetes start the
processes with `--distributed`. Restarted processes resume the run from its last checkpoint. To
resume with another number of processes, run the command again with another -n and with --resume. At
Ctrl-C or SIGTERM all processes stop at the same step and save it; a second Ctrl-C ends them at
once.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec

from experiments.distributed import LAUNCHED

FINAL = (2, 75, 130)  # refused, terminated, interrupted: another start would end the same way


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run all attempts, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m experiments.launch", description=__doc__)
    parser.add_argument("-n", type=int, default=2, help="number of processes")
    parser.add_argument("--restarts", type=int, default=0, help="restarts after a failure")
    parser.add_argument("experiment", help="its name, such as mnist_mlp")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="its options")
    config = parser.parse_args(arguments)
    if config.n < 1 or config.restarts < 0:
        parser.error("expected -n of at least 1 and --restarts of at least 0")
    if not is_module(f"experiments.{config.experiment}"):
        parser.error(f"expected the name of an experiment, but got {config.experiment!r}")
    resume: list[str] = []
    for attempt in range(config.restarts + 1):
        statuses, received = run(config.n, [config.experiment, *config.options, *resume])
        if received or attempt == config.restarts or not is_restarted(statuses):
            break
        print(f"processes ended with {statuses}; restart {attempt + 1}", file=sys.stderr)
        resume = [] if "--resume" in config.options else ["--resume"]
    if any(statuses) and signal.SIGINT in received:
        return 130
    return next((abs(status) for status in statuses if status), 0)


def is_module(name: str) -> bool:
    """Whether a module of this name can be imported."""
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):  # a part of the name is no package
        return False


def is_restarted(statuses: Sequence[int]) -> bool:
    """Whether to restart processes that ended with these statuses."""
    return any(statuses) and not any(status in FINAL for status in statuses)


def run(count: int, command: Sequence[str]) -> tuple[list[int], list[int]]:
    """Run all processes until they end; after the first failure, end the others.

    Returns their statuses, and the signals that this process received.
    """
    address = f"localhost:{free_port()}"
    words = [sys.executable, "-m", f"experiments.{command[0]}", *command[1:], "--distributed"]
    processes: list[subprocess.Popen] = []
    with forwarded_signals(processes) as received:
        try:
            for number in range(count):
                cluster = dict(zip(LAUNCHED, (address, str(count), str(number)), strict=True))
                environment = {**os.environ, **cluster}
                # In a new session, so that Ctrl-C in the terminal does not reach them directly.
                process = subprocess.Popen(words, env=environment, start_new_session=True)
                processes.append(process)
                if received:  # while it was not in the list
                    process.terminate()
            while any(process.poll() is None for process in processes):
                if any(process.poll() for process in processes):
                    end(processes, grace=15.0)
                time.sleep(0.1)
        finally:
            end(processes, grace=0.0)
    return [process.returncode for process in processes], received


@contextmanager
def forwarded_signals(processes: Sequence[subprocess.Popen]) -> Iterator[list[int]]:
    """Forward signals to the processes; yields the list of those received.

    The first is forwarded as SIGTERM, JAX's preemption notice, at which all stop at one saved step.
    """
    received: list[int] = []

    def forward(number: int, frame: object) -> None:
        for process in processes:
            process.send_signal(number if received else signal.SIGTERM)
        received.append(number)

    hangup = getattr(signal, "SIGHUP", signal.SIGTERM)  # which Windows lacks
    numbers = (signal.SIGTERM, signal.SIGINT, hangup)
    handlers = {number: signal.getsignal(number) for number in numbers}
    handled = {n: handler for n, handler in handlers.items() if handler is not signal.SIG_IGN}
    try:
        for number in handled:
            signal.signal(number, forward)
        yield received
    finally:
        for number, handler in handled.items():
            signal.signal(number, handler)


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
