"""The library's programs compiled for TPUs without having them, and an estimate of weak scaling.

python -m experiments.bench.scale --out experiments/results/scale.json
python -m experiments.bench.scale --models cnn --topologies v5e:16x16

Compiles the library's own chunk of steps ahead of time for TPU topologies, which needs
`pip install libtpu` and no TPU: memory per chip, collectives by kind and bytes, and FLOPs. The
estimates of weak scaling are computed from published speeds and not measured. Records in the file
of other programs are kept. About a CPU-minute per program. `experiments.bench.layouts` compares the
results of sharded runs.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import command_line
from experiments.bench.children import lines
from experiments.folder import machine
from jaxnets.json_files import decode
from jaxnets.training.report import write_json

TPU_ENVIRONMENT = {  # libtpu asks a cloud for them otherwise
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # nothing runs on a TPU, so that none need be locked
}


@dataclass(frozen=True)
class Config:
    """The library's programs compiled for TPUs that are not there."""

    out: Path | None = None
    """The file to write to; records in it of other programs are kept."""
    models: tuple[str, ...] = ("mlp", "cnn", "resnet50", "population")
    """Any of mlp, cnn, resnet50, population."""
    topologies: tuple[str, ...] = ("v5e:2x4", "v5e:16x16")
    """Names of TPU topologies, as libtpu knows them."""


def experiment(config: Config) -> None:
    """Compile the programs, and print and write their records."""
    written = config.out is not None and config.out.exists()
    records = decode(config.out.read_text())["tpu"] if written and config.out else []
    for name in config.models:
        for topology in config.topologies:
            records = [r for r in records if (r["model"], r["topology"]) != (name, topology)]
            records += tpu(name, topology)
            if config.out is not None:
                write_json(config.out, {"tpu": records, "machine": machine()})


def tpu(name: str, topology: str) -> list[dict[str, Any]]:
    """The record of one program that is compiled for a topology."""
    return lines([["experiments.bench.topologies", name, topology]], **TPU_ENVIRONMENT)


if __name__ == "__main__":
    command_line.main(experiment, Config, keep_compiled=False)
