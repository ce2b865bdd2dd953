"""A fresh process that trains one task in one framework, on command.

python -m experiments.bench.worker '{"case": "mlp"}' ours

It says hello, then reads commands, a line of JSON each, and answers each by one:

    {"do": "prepare"}                             make the trainer and compile
    {"do": "steps", "n": 100}  {"do": "epoch"}    train, waiting until it is done
    {"do": "accuracy"}                            on the test images
    {"do": "device"}                              tell what it runs on
    {"do": "profile", "n": 100, "folder": "a"}    steps under JAX's profiler
    {"do": "stop"}                                tell the peak of memory, and end

An answer has the "seconds" that it took, measured here. It is {"left_out": why} where the framework
is not installed or refuses the task, and then the process ends.
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
    """The commands, each a method that answers."""

    def __init__(self, task: Task, peer: str):
        self.task, self.module = task, import_module(f"experiments.bench.peers.{peer}")
        self.trainer: Trainer

    def prepare(self) -> Answer:
        """Data, network and optimizer made, then what trains compiled; what it says of itself."""
        began = time.perf_counter()
        self.trainer = self.module.make(self.task)
        made = time.perf_counter() - began
        found = self.trainer.prepare()
        names = {"trace_seconds": found["trace"], "compile_seconds": found["compile"]}
        notes = getattr(self.trainer, "notes", None)
        return {"make_seconds": made, **names, "notes": notes}

    def steps(self, n: int) -> Answer:
        """Steps on shuffled batches."""
        return {"loss": self.trainer.steps(n)}

    def epoch(self) -> Answer:
        """An epoch of them."""
        self.trainer.epoch()
        return {}

    def accuracy(self) -> Answer:
        """The share of the test images that are classified rightly."""
        return {"accuracy": self.trainer.accuracy()}

    def profile(self, n: int, folder: str) -> Answer:
        """Steps, with a trace of what the device did in the folder."""
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
        """The peak of memory so far: the accelerator's where there is one, else the process's."""
        device = device_peak()
        if device is not None:
            return {"peak_memory_bytes": device, "memory": "device"}
        return {"peak_memory_bytes": process_peak(), "memory": "process"}


def device_peak() -> int | None:
    """Bytes in use on the accelerator at most; None on a CPU."""
    if jax := sys.modules.get("jax"):
        stats = jax.local_devices()[0].memory_stats()
        return stats and stats["peak_bytes_in_use"]
    torch = sys.modules.get("torch")
    return torch.cuda.max_memory_allocated() if torch and torch.cuda.is_available() else None


def process_peak() -> int | None:
    """Bytes resident at most, of Linux; None elsewhere.

    Not `ru_maxrss`, which begins with the peak of the process that started this one.
    """
    status = Path("/proc/self/status")
    found = re.search(r"VmHWM:\s*(\d+) kB", status.read_text()) if status.exists() else None
    return int(found[1]) * 1024 if found else None


def hello(worker: Worker, seconds: float) -> Answer:
    """The seconds that the imports took, and what there is."""
    answer: Answer = {"import_seconds": seconds, "python": sys.version.split()[0]}
    answer["versions"] = {name: version(name) for name in worker.module.NEEDS}
    return answer


def timed(command: Callable[..., Answer], **arguments: Any) -> Answer:
    """The answer, with the seconds until it was there."""
    began = time.perf_counter()
    answer = command(**arguments)
    return {"seconds": time.perf_counter() - began, **answer}


def serve(task: Task, peer: str, say: Callable[[Answer], None]) -> None:
    """Hello, then the answers to the commands on stdin."""
    began = time.perf_counter()
    try:
        worker = Worker(task, peer)
        say(hello(worker, time.perf_counter() - began))
        for line in sys.stdin:
            arguments = json.loads(line)
            do = arguments.pop("do")
            say(timed(getattr(worker, do), **arguments))
            if do == "stop":
                return
    except ModuleNotFoundError as error:
        say({"left_out": f"{error.name} is not installed (pip install -e '.[bench]')"})
    except NotImplementedError as error:
        say({"left_out": str(error)})


def main() -> None:
    """Serve; what a framework prints goes to stderr, so that it is no answer."""
    task, peer = Task(**json.loads(sys.argv[1])), sys.argv[2]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(task, peer, lambda answer: print(json.dumps(answer), file=answers, flush=True))


if __name__ == "__main__":
    main()
