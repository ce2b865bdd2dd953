"""What can be shown of many devices without them: layouts on virtual ones, and TPU programs.

python -m experiments.bench.scale --out experiments/results/scale.json
python -m experiments.bench.scale --parts tpu --out experiments/results/scale.json

`layouts` trains five models under every layout of eight virtual CPU devices, and of two processes
of four, and compares the params with those of one device. `tpu` compiles the library's own chunk
ahead of time for TPU topologies, which needs `pip install libtpu` and no TPU. The estimates of weak
scaling are computed from published speeds and not measured. The parts are kept that are not run.
About 15 CPU-minutes.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import command_line
from experiments.bench.layouts import CASES
from experiments.distributed import LAUNCHED
from experiments.folder import machine
from experiments.launch import free_port
from jaxnets.json_files import decode
from jaxnets.training.report import write_json

PARTS = ("layouts", "tpu")
# As tests/conftest.py: compiling takes most of the time, and running next to none.
QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
TPU_ENVIRONMENT = {  # libtpu asks a cloud for them otherwise
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
}
PROGRAMS = (  # (model, topology)
    ("mlp", "v5e:2x4"),
    ("cnn", "v5e:2x4"),
    ("cnn", "v5e:16x16"),
    ("population", "v5e:2x4"),
)


@dataclass(frozen=True)
class Config:
    """What can be shown of many devices without them."""

    out: Path | None = None
    """The file to write to; parts in it that are not run are kept."""
    parts: tuple[str, ...] = PARTS
    """Any of layouts, tpu."""
    models: tuple[str, ...] = tuple(CASES)
    """The models of `layouts`."""


def experiment(config: Config) -> None:
    """Run the parts, and print and write their records."""
    written = config.out is not None and config.out.exists()
    results = decode(config.out.read_text()) if written and config.out else {}
    if "layouts" in config.parts:
        kept = [r for r in results.get("layouts", []) if r["model"] not in config.models]
        results["layouts"] = kept + [r for name in config.models for r in layouts(name)]
    if "tpu" in config.parts:
        results["tpu"] = [r for program in PROGRAMS for r in tpu(*program)]
    results["machine"] = machine()
    if config.out is not None:
        write_json(config.out, results)


def layouts(name: str) -> list[dict[str, Any]]:
    """The records of one model, in both precisions."""
    records = []
    for precision in ("float32", "float64"):
        command = ["experiments.bench.layouts", name, precision]
        records += lines([command], devices=8)
        records += lines([[*command, "--distributed"]] * 2, devices=4)
    return records


def tpu(name: str, topology: str) -> list[dict[str, Any]]:
    """The record of one program that is compiled for a topology."""
    return lines([["experiments.bench.topologies", name, topology]], **TPU_ENVIRONMENT)


def lines(commands: list[list[str]], devices: int = 1, **environment: str) -> list[dict[str, Any]]:
    """The JSON lines that processes print, which run at the same time."""
    flags = f"--xla_force_host_platform_device_count={devices} {QUICK}"
    address, running = f"localhost:{free_port()}", []
    for number, command in enumerate(commands):
        cluster = dict(zip(LAUNCHED, (address, str(len(commands)), str(number)), strict=True))
        extra = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, **cluster, **environment}
        words = [sys.executable, "-m", *command]
        running.append(
            subprocess.Popen(words, env=os.environ | extra, stdout=subprocess.PIPE, text=True)
        )
    printed = [process.communicate()[0] for process in running]
    if any(process.returncode for process in running):
        print(f"error: {' '.join(commands[0])} failed", file=sys.stderr)
        sys.exit(2)
    records = [decode(line) for out in printed for line in out.splitlines() if line[:1] == "{"]
    for record in records:
        print(json.dumps(record), flush=True)
    return records


if __name__ == "__main__":
    command_line.main(experiment, Config, keep_compiled=False)
