"""Five models trained under every layout of eight devices, each compared with one device.

python -m experiments.bench.layouts --out experiments/results/layouts.json
python -m experiments.bench.layouts --models mlp --precisions float32

An MLP with dropout, a CNN with batch norm and dropout, ResNet-20, an LSTM and a population of MLPs
take 12 steps of SGD with momentum: data parallel, fully sharded, tensor parallel and as products of
these on eight virtual CPU devices, and data parallel in two processes of four. For each layout the
record has the largest difference of a parameter from the run on one device (relative to the
parameter's largest element), the share of the sharded parameters that a device holds, and the
collectives of the compiled chunk. The status is 1 if one is outside its limits. Records in the file
of other models and precisions are kept. Prints the table of docs/devices.md. About 20 minutes of
CPU time, most of it for compiling.

ResNet-20 starts with biases of 3 in its norms: if rounding changes the sign of a ReLU's input, a
part of the gradient jumps, and this keeps nearly all inputs away from 0.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from experiments import command_line
from experiments.bench.children import lines
from experiments.bench.layout_runs import CASES
from experiments.folder import machine
from jaxnets.json_files import decode
from jaxnets.training.report import write_json

Model = Literal["mlp", "cnn", "resnet20", "lstm", "population"]
Precision = Literal["float32", "float64"]

DEVICES = 8
DIFFERENCE = {"float32": 1e-5, "float64": 1e-10}  # the largest that is allowed
PARTS = {"members x data": 4}  # shards of a sharded parameter; one per device in other layouts
INSTEAD = {"members": "tensor", "members x data": "fsdp x tensor"}  # columns of a population
TITLES = {
    "mlp": "MLP, dropout",
    "cnn": "CNN, batch norm, dropout",
    "resnet20": "ResNet-20, norm biases initialized to 3",
    "lstm": "LSTM",
    "population": "population of MLPs (tensor: members; fsdp x tensor: members x data)",
}
HELD = 1.15  # a device's share of the sharded parameters, at most, relative to an equal share


@dataclass(frozen=True)
class Config:
    """Five models trained under every layout of eight devices."""

    out: Path | None = None
    """The file to update; its records of other models and precisions are kept."""
    models: tuple[Model, ...] = get_args(Model)
    """The models, by their names in `experiments.bench.layout_runs`."""
    precisions: tuple[Precision, ...] = get_args(Precision)
    """The precisions to train in."""


def experiment(config: Config) -> None:
    """Run the layouts, and print and write their records; exit with 1 if one is not right."""
    written = config.out is not None and config.out.exists()
    records = decode(config.out.read_text())["layouts"] if written and config.out else []
    for name in config.models:
        for precision in config.precisions:
            records = [r for r in records if (r["model"], r["precision"]) != (name, precision)]
            records = sorted(records + layouts(name, precision), key=_order)
            if config.out is not None:
                write_json(config.out, {"layouts": records, "machine": machine()})
    wrong = [record for record in records if not is_right(record)]
    print(table(records))
    print(f"{len(records) - len(wrong)} of {len(records)} layouts within their limits")
    sys.exit(1 if wrong else 0)


def _order(record: dict[str, Any]) -> tuple[int, int]:
    """Records of a model, and of a precision, are next to each other."""
    return list(CASES).index(record["model"]), list(DIFFERENCE).index(record["precision"])


def layouts(name: str, precision: str) -> list[dict[str, Any]]:
    """The records of one model, in one process of eight devices and in two of four."""
    command = ["experiments.bench.layout_runs", name, precision]
    one = lines([command], devices=DEVICES)
    return one + lines([[*command, "--distributed"]] * 2, devices=DEVICES // 2)


def table(records: Sequence[dict[str, Any]]) -> str:
    """The largest differences in Markdown, with a row per model and precision."""
    columns = ("data", "fsdp", "tensor", "fsdp x tensor", "two processes")
    found: dict[tuple[str, str], dict[str, float]] = {}
    for record in records:
        name = "two processes" if record["processes"] > 1 else record["layout"]
        row = found.setdefault((record["model"], record["precision"]), {})
        row[INSTEAD.get(name, name)] = record["difference"]
    lines = [f"| model | precision | {' | '.join(columns)} |", "|---" * (len(columns) + 2) + "|"]
    for (model, precision), row in found.items():
        cells = [f"{row[name]:.1e}" if name in row else "" for name in columns]
        lines.append(f"| {TITLES[model]} | {precision} | {' | '.join(cells)} |")
    return "\n".join(lines)


def is_right(record: dict[str, Any]) -> bool:
    """Whether a layout gave the result of one device, and spread the arrays that it shards."""
    same = record["difference"] <= DIFFERENCE[record["precision"]]
    share = HELD / PARTS.get(record["layout"], DEVICES)
    return same and (record["sharded"] == 0 or record["held"] <= share)


if __name__ == "__main__":
    command_line.main(experiment, Config, keep_compiled=False)
