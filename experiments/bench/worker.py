"""A process that trains one task in one framework, controlled by commands.

`experiments.bench.process` starts it. It writes a description of itself as a line of JSON, then
reads commands, one JSON object per line, and answers each with one line:

    {"do": "prepare"}                             make the trainer and compile
    {"do": "steps", "n": 100}  {"do": "epoch"}    train, waiting until it is done
    {"do": "accuracy"}                            on the test images
    {"do": "device"}                              its device
    {"do": "profile", "n": 100, "folder": "a"}    steps under JAX's profiler
    {"do": "stop"}                                the peak memory; the process ends

An answer includes the "seconds" of the command. If the framework is not installed or refuses the
task, the answer is {"left_out": reason}, and the process ends.
"""

import json
import os
import re
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from experiments.bench.task import Task, Trainer

Answer = dict[str, Any]


class Worker:
    """The commands, each a method that returns its answer."""

    def __init__(self, task: Task, peer: str):
        self.task, self.module = task, import_module(f"experiments.bench.peers.{peer}")
        self.trainer: Trainer

    def prepare(self) -> Answer:
        """Create data, network and optimizer, then compile; return the times, and notes."""
        began = time.perf_counter()
        self.trainer = self.module.make(self.task)
        make_seconds = time.perf_counter() - began
        seconds = self.trainer.prepare()
        parts = {"trace_seconds": seconds["trace"], "compile_seconds": seconds["compile"]}
        notes = getattr(self.trainer, "notes", None)
        return {"make_seconds": make_seconds, **parts, "notes": notes}

    def steps(self, n: int) -> Answer:
        """Train steps on shuffled batches."""
        return {"loss": self.trainer.steps(n)}

    def epoch(self) -> Answer:
        """Train an epoch."""
        self.trainer.epoch()
        return {}

    def accuracy(self) -> Answer:
        """The fraction of the test images that are classified correctly."""
        return {"accuracy": self.trainer.accuracy()}

    def profile(self, n: int, folder: str) -> Answer:
        """Train steps, with a profiler trace in the folder."""
        import jax

        with jax.profiler.trace(folder):
            return self.steps(n)

    def device(self) -> Answer:
        """The device's kind, and its platform: "cpu", "gpu" or "tpu"."""
        if jax := sys.modules.get("jax"):
            device = jax.devices()[0]
            return {"device": device.device_kind, "platform": device.platform}
        torch = sys.modules.get("torch")
        if torch and torch.cuda.is_available():
            return {"device": torch.cuda.get_device_name(), "platform": "gpu"}
        return {"device": "cpu", "platform": "cpu"}

    def stop(self) -> Answer:
        """The peak memory so far, of the accelerator if there is one, else of the process."""
        device = device_peak()
        if device is not None:
            return {"peak_memory_bytes": device, "memory": "device"}
        return {"peak_memory_bytes": process_peak(), "memory": "process"}


def device_peak() -> int | None:
    """The peak number of bytes in use on the accelerator; None on a CPU."""
    if jax := sys.modules.get("jax"):
        stats = jax.local_devices()[0].memory_stats()
        return stats and stats["peak_bytes_in_use"]
    torch = sys.modules.get("torch")
    return torch.cuda.max_memory_allocated() if torch and torch.cuda.is_available() else None


def process_peak() -> int | None:
    """The peak resident memory in bytes, on Linux; None elsewhere.

    Not `ru_maxrss`, which starts at the peak of the parent process.
    """
    status = Path("/proc/self/status")
    match = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    return int(match[1]) * 1024 if match else None


def describe(worker: Worker, seconds: float) -> Answer:
    """The seconds of the imports, and the versions."""
    answer: Answer = {"import_seconds": seconds, "python": sys.version.split()[0]}
    answer["versions"] = {name: version(name) for name in worker.module.NEEDS}
    return answer


def timed(command: Callable[..., Answer], **arguments: Any) -> Answer:
    """The answer of a command, with its seconds."""
    began = time.perf_counter()
    answer = command(**arguments)
    return {"seconds": time.perf_counter() - began, **answer}


def serve(task: Task, peer: str, answer: Callable[[Answer], None]) -> None:
    """Write a description, then answer the commands on stdin."""
    began = time.perf_counter()
    try:
        worker = Worker(task, peer)
        answer(describe(worker, time.perf_counter() - began))
        for line in sys.stdin:
            arguments = json.loads(line)
            do = arguments.pop("do")
            answer(timed(getattr(worker, do), **arguments))
            if do == "stop":
                return
    except ModuleNotFoundError as error:
        answer({"left_out": f"{error.name} is not installed (pip install -e '.[bench]')"})
    except NotImplementedError as error:
        answer({"left_out": str(error)})


def main() -> None:
    """Serve; the frameworks' output is sent to stderr, so that it is not read as an answer."""
    task, peer = Task(**json.loads(sys.argv[1])), sys.argv[2]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(task, peer, lambda answer: print(json.dumps(answer), file=answers, flush=True))


if __name__ == "__main__":
    main()
