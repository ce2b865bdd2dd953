"""A worker process as the benchmark controls it: commands are written to its stdin."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from experiments.bench.task import Task
from jaxnets.json_files import decode

ROOT = Path(__file__).parents[2]
LAST_LINES = 5  # lines of stderr to report if a worker crashes
ALWAYS = {
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # else the first process allocates all GPU memory
    "JAX_ENABLE_COMPILATION_CACHE": "false",
    "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
}


class Contender(NamedTuple):
    """A peer, on a number of devices."""

    peer: str
    devices: int = 1

    @property
    def label(self) -> str:
        """For example "ours" or "ours, 2 devices"."""
        return self.peer if self.devices == 1 else f"{self.peer}, {self.devices} devices"


class LeftOut(Exception):
    """A contender cannot be measured; the message has the reason."""


class Process:
    """A context manager for a fresh process that trains a task in one framework.

    Its compilation caches are off, unless the environment variables `more` enable them. It runs the
    code of `checkout`.

    Attributes:
      description: "import_seconds", "python" and "versions", from its first answer.

    Raises:
      LeftOut: the framework is not installed or refuses the task, or the process ended.
    """

    def __init__(
        self,
        contender: Contender,
        task: Task,
        more: Mapping[str, str] | None = None,
        checkout: Path = ROOT,
    ):
        task = task._replace(devices=contender.devices)
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115, it is closed with the process
        self.process = subprocess.Popen(
            _command(contender.peer, task),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            cwd=checkout,
            env={**os.environ, **ALWAYS, **devices_flag(task.devices), **(more or {})},
        )
        try:
            self.description = self._answer()
        except BaseException:
            self.__exit__()
            raise

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.errors.close()

    def ask(self, do: str, within: float | None = None, **arguments: Any) -> dict[str, Any]:
        """Send a command of `experiments.bench.worker`, and wait for its answer.

        Raises:
          LeftOut: it refuses, ends, or does not answer `within` this many seconds, and is killed.
        """
        try:
            print(json.dumps({"do": do, **arguments}), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise LeftOut(self._error()) from None
        if within is None:
            return self._answer()
        late = threading.Event()
        timer = threading.Timer(within, lambda: (late.set(), self.process.kill()))
        timer.start()
        try:
            return self._answer()
        except LeftOut:
            if late.is_set():
                raise LeftOut(f"it did not answer {do!r} within {within:g} s") from None
            raise
        finally:
            timer.cancel()

    def stop(self) -> dict[str, Any]:
        """Ask for the peak memory, and wait until the process has ended."""
        answer = self.ask("stop")
        self.process.wait()
        return answer

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        if not (text := self.process.stdout.readline()):
            raise LeftOut(self._error())
        answer = decode(text, nonfinite=True)  # a loss may be NaN
        if "left_out" in answer:
            raise LeftOut(answer["left_out"])
        return answer

    def _error(self) -> str:
        status = self.process.wait()
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").splitlines()[-LAST_LINES:]
        return "\n".join([f"its process ended with status {status}:", *lines])


def trial_seconds(prepared: Mapping[str, float]) -> float:
    """The seconds of "prepare" that a peer spent on comparing its implementations."""
    needed = sum(prepared[name] for name in ("make_seconds", "trace_seconds", "compile_seconds"))
    return prepared["seconds"] - needed


def _command(peer: str, task: Task) -> list[str]:
    arguments = (json.dumps(task._asdict()), peer)
    return [sys.executable, "-m", "experiments.bench.worker", *arguments]


def devices_flag(number: int) -> dict[str, str]:
    """The environment that splits a CPU into several devices; no effect on accelerators."""
    if number == 1:
        return {}
    flags = os.environ.get("XLA_FLAGS", "")
    return {"XLA_FLAGS": f"{flags} --xla_force_host_platform_device_count={number}".strip()}
