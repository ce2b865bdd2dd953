"""Markdown tables and plots of the results of the benchmark.

python -m experiments.bench.table
python -m experiments.bench.table --plots experiments/results
python -m experiments.bench.table a.jsonl b.jsonl --plots a/folder

By default, reads the files bench*.jsonl in experiments/results, and writes the plots to a new
folder under runs/.
"""

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from experiments import command_line
from experiments.bench.records import CURE, Record, network, read
from experiments.folder import new_folder
from jaxnets.json_files import as_json_errors
from jaxnets.messages import printable
from jaxnets.training import RunError

RESULTS = Path("experiments/results")
SETTING = ("kind", "case", "members", "batch_size", "dtype")
Column = tuple[str, Callable[[Record], str]]


@dataclass(frozen=True)
class Config:
    """Tables and plots of measurements."""

    files: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Files of JSON lines that experiments.bench wrote."""
    plots: Path | None = None
    """The folder for the plots; by default a new one, runs/bench-TIME."""


def main(config: Config) -> None:
    """Print the tables, write the plots."""
    from experiments.bench.plots import write_plots

    files = config.files or tuple(sorted(RESULTS.glob("bench*.jsonl")))
    if not files:
        raise RunError(
            f"there is no bench*.jsonl in {RESULTS}; measure with python -m experiments.bench "
            "--out FILE, or pass a file"
        )
    records = read(files)
    with as_json_errors(", ".join(map(str, files)), CURE):
        text, plots = tables(records), write_plots(records, config.plots or new_folder("bench"))
    print(text)
    for path in plots:
        print(f"plot: {path}")


def tables(records: Sequence[Record]) -> str:
    """A table for each setting of each run."""
    settings: dict[tuple, list[Record]] = {}
    for record in records:
        key = (*(record[name] for name in SETTING), json.dumps(record["machine"]))
        settings.setdefault(key, []).append(record)
    return "\n\n".join(map(table, settings.values()))


def table(records: Sequence[Record]) -> str:
    """The table of one setting, with a row per contender, then those left out and the machine."""
    first = records[0]
    measured = [record for record in records if "left_out" not in record]
    columns = COLUMNS[first["kind"]](measured)
    return "\n".join(
        [
            f"**{heading(first)}: {TITLES[first['kind']]}**\n",
            _row(name for name, _ in columns),
            _row("---" for _ in columns),
            *(_row(cell(record) for _, cell in columns) for record in measured),
            "",
            *(f"- {r['peer']}: {r['notes']}" for r in measured if r.get("notes")),
            *(f"- left out: {r['peer']}: {r['left_out']}" for r in records if "left_out" in r),
            "- " + _measured_on(measured, first["machine"]),
        ]
    )


def heading(setting: Record) -> str:
    """The network, the batch size and the dtype."""
    return f"{network(setting)}, batch {setting['batch_size']}, {setting['dtype']}"


def _speed(records: Sequence[Record]) -> list[Column]:
    columns = [
        PEER,
        ("ms per step", lambda r: quartiles_text(r["step_ms"])),
        ("samples/s", lambda r: number(r["samples_per_second"]["median"])),
        *_ours_faster(records),
        ("of the matmul limit", lambda r: percent(r["share_of_matmul"])),
        ("of the peak", lambda r: percent(r["share_of_datasheet"])),
        ("trace, compile (s)", lambda r: f"{r['trace_seconds']:.2f}, {r['compile_seconds']:.2f}"),
        ("memory (MB)", lambda r: number((r["peak_memory_bytes"] or math.nan) / 1e6)),
        ("accuracy after an epoch", _accuracy),
    ]
    peaks = [r["datasheet"] for r in records]
    return [column for column in columns if column[0] != "of the peak" or any(peaks)]


def _time_to_accuracy(records: Sequence[Record]) -> list[Column]:
    return [
        PEER,
        ("seconds", lambda r: quartiles_text(r["seconds"])),
        ("epochs", lambda r: ", ".join(str(len(curve)) for curve in r["curves"])),
        ("target", lambda r: percent(r["target"])),
        *_ours_faster(records),
    ]


def _whole_process(records: Sequence[Record]) -> list[Column]:
    return [PEER, ("seconds", lambda r: quartiles_text(r["seconds"])), *_ours_faster(records)]


def _ours_faster(records: Sequence[Record]) -> list[Column]:
    """One column for each record of jaxnets: its speedup over each peer."""
    labels = dict.fromkeys(label for record in records for label in record["ours_times_faster"])
    return [
        (
            f"speedup of {label}",
            lambda r, label=label: quartiles_text(r["ours_times_faster"].get(label)),
        )
        for label in labels
    ]


def _accuracy(record: Record) -> str:
    text = percent(record.get("accuracy"), digits=2)
    text += ", **too low**" if record["accuracy_low"] else ""
    return text if record["loss_finite"] else f"{text}, **the loss is not finite**"


def quartiles_text(quartiles: Record | None) -> str:
    """The median and the quartiles, and a note if they are far apart."""
    if quartiles is None:
        return "-"
    low, median, high = (number(quartiles[name]) for name in ("low", "median", "high"))
    return f"{median} ({low} to {high}){', noisy' if quartiles['noisy'] else ''}"


def number(value: float) -> str:
    """A number with three significant digits, or all digits before the point."""
    if not math.isfinite(value):
        return "-"
    decimals = 2 - math.floor(math.log10(abs(value))) if value else 0
    return f"{value:,.{max(0, decimals)}f}"


def percent(share: float | None, digits: int = 0) -> str:
    """A share in percent, or a dash where it is not known."""
    return "-" if share is None else f"{share:.{digits}%}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(map(printable, cells))} |"


def _measured_on(records: Sequence[Record], machine: Record) -> str:
    """The number of measurements, the hardware, the versions and the flags."""
    versions: dict[str, str] = {}
    for record in records:
        versions |= {"python": record["python"], **record["versions"]}
    dtype = ", ".join({record["dtype"] for record in records})
    packages = ", ".join(f"{name} {version}" for name, version in versions.items())
    flags = " ".join(f"{name}={value}" for name, value in machine["flags"].items())
    measured = [record.get("step_ms") or record["seconds"] for record in records]
    counts = sorted({quartiles["n"] for quartiles in measured if quartiles})
    limits = {r["matmul_flops_per_second"] for r in records if r.get("matmul_flops_per_second")}
    return ". ".join(
        [
            f"Medians and quartiles, n = {', '.join(map(str, counts))}" if counts else "No times",
            _hardware(machine),
            *(f"Matmul limit in {dtype} {limit / 1e9:,.0f} GFLOP/s" for limit in limits),
            *([packages] if packages else []),
            flags or "No flags",
            f"{machine['began']}.",
        ]
    )


def _hardware(machine: Record) -> str:
    device = "" if machine["platform"] == "cpu" else f"{machine['device']}, "
    return f"{device}{machine['processor']}, cores: {machine['cores']}"


PEER: Column = ("", lambda record: record["peer"])
COLUMNS = {"speed": _speed, "time_to_accuracy": _time_to_accuracy, "whole_process": _whole_process}
TITLES = {
    "speed": "training steps",
    "time_to_accuracy": "from the data to the accuracy, compiling included",
    "whole_process": "a process that trains one epoch, imports and compiling included",
}


if __name__ == "__main__":
    command_line.main(main, Config)
