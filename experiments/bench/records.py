"""The records of a measurement: a line of JSON per contender, with its machine."""

import json
import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.bench.process import Contender, Process
from experiments.bench.task import Task
from jaxnets.command_line.info import processor
from jaxnets.errors import JSONError
from jaxnets.files import atomic_append
from jaxnets.json_files import as_json_errors, read_lines
from jaxnets.training import RunError
from jaxnets.training.report import to_json

Record = dict[str, Any]
CURE = "remove it, or measure again with experiments.bench"
FLAGS = ("XLA_", "JAX_", "OMP_", "MKL_", "KMP_", "OPENBLAS_", "TORCH", "KERAS_", "GLIBC_", "CUDA_")


def setting(task: Task) -> Record:
    """The settings that all contenders of a run share."""
    names = ("case", "members", "batch_size", "dtype")
    return {name: getattr(task, name) for name in names}


def network(setting: Record) -> str:
    """The network that was trained: "mlp" or "population of 64"."""
    size = f" of {setting['members']}" if setting["case"] == "population" else ""
    return f"{setting['case']}{size}"


def left_out(kind: str, reasons: Mapping[str, str]) -> list[Record]:
    """The records of contenders that are left out, with the reasons."""
    return [{"kind": kind, "peer": label, "left_out": why} for label, why in reasons.items()]


def without_seconds(answer: Mapping[str, Any]) -> Record:
    """The answer of a process without its "seconds"."""
    return {name: value for name, value in answer.items() if name != "seconds"}


def machine() -> Record:
    """The machine of a run; a separate process asks JAX for the device."""
    with Process(Contender("matmul"), Task("mlp")) as process:
        device = without_seconds(process.ask("device"))
    return {
        **device,
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "system": platform.platform(),
        "flags": {name: value for name, value in os.environ.items() if name.startswith(FLAGS)},
        "began": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def write(path: Path, records: Iterable[Record]) -> None:
    """Append the records to a file, one per line; NaN is null."""
    with atomic_append(path) as append:
        append("".join(json.dumps(to_json(record)) + "\n" for record in records).encode())


def read(paths: Sequence[Path]) -> list[Record]:
    """The records of all files.

    Raises:
      RunError: a line is not a record.
    """
    records = []
    try:
        for path in paths:
            for number, record in read_lines(path, cure=CURE):
                with as_json_errors(f"{path}, line {number},", CURE):
                    records.append({"kind": record["kind"], "members": 1, **record})
    except JSONError as error:
        raise RunError(str(error)) from error
    return records
