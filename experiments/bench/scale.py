"""Compiles the library's programs for TPUs without needing one, and estimates weak scaling.

python -m experiments.bench.scale --out experiments/results/scale.json
python -m experiments.bench.scale --models cnn --topologies v5e:16x16

Compiles the library's chunk of steps ahead of time for TPU topologies, which needs
`pip install libtpu` and no TPU: memory per chip, collectives by kind and bytes, and FLOPs. The
estimates of weak scaling are computed from published speeds and not measured. Records in the file
of other programs are kept. Without options it compiles the ten programs whose records are
committed, which takes about 17 minutes of CPU time, 10 of them for ResNet-50. Prints the table of
docs/devices.md. `experiments.bench.layouts` compares the results of sharded runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from experiments import command_line
from experiments.bench.children import lines
from experiments.folder import machine
from jaxnets.json_files import decode
from jaxnets.training.report import write_json

Model = Literal["mlp", "cnn", "resnet50", "gpt", "population"]
TPU_ENVIRONMENT = {  # otherwise libtpu asks a cloud for these
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_STDERR_LOG_LEVEL": "3",
    "TPU_MIN_LOG_LEVEL": "3",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # nothing runs on a TPU, so none needs to be locked
}


TITLES = {
    "mlp": "MLP, 128 examples per chip",
    "cnn": "CNN, 128 examples per chip",
    "resnet50": "ResNet-50, 16 images per chip",
    "gpt": "GPT of 2 blocks, 16 sequences of 128 tokens per chip",
    "population": "16 CNNs per chip, sharded by members",
}


@dataclass(frozen=True)
class Config:
    """The library's programs compiled for TPUs, without a TPU."""

    out: Path | None = None
    """The file to update; its records of other programs are kept."""
    models: tuple[Model, ...] = ("mlp", "cnn", "resnet50", "gpt", "population")
    """The models, by their names in `experiments.bench.topologies`."""
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
    print(table(records))


def table(records: Sequence[dict[str, Any]]) -> str:
    """The records in Markdown; a program has several copies of the step, and values are per copy.

    The members of a population exchange nothing in a step, and only their objectives in a chunk.
    """
    lines = [
        "| model, data parallel | chips | memory per chip | all-reduced per step | FLOPs per step "
        "per chip | estimated weak-scaling efficiency on 8, 256, 4,096 chips |",
        "|---|---|---|---|---|---|",
    ]
    for record in records:
        copies, name = record["step_copies"], TITLES[record["model"]]
        exchanged = sum(kind["bytes"] for kind in record["collectives"].values()) / copies / 1e6
        megabytes = "none" if record["members_per_chip"] else f"{exchanged:,.2f} MB"
        shares = record.get("estimated_weak_scaling", {}).values()
        lines.append(
            f"| {name} | {record['chips']} | {record['bytes_per_chip'] / 1e6:,.0f} MB | "
            f"{megabytes} | {record['flops_per_chip'] / copies / 1e9:,.2f} G | "
            f"{', '.join(f'{share:.0%}' for share in shares) or 'not estimated'} |"
        )
    return "\n".join(lines)


def tpu(name: str, topology: str) -> list[dict[str, Any]]:
    """The record of one program that is compiled for a topology."""
    command = ["experiments.bench.topologies", name, topology]
    return lines([command], devices=1, **TPU_ENVIRONMENT)


if __name__ == "__main__":
    command_line.main(experiment, Config, keep_compiled=False)
