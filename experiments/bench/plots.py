"""Plots of the results of the benchmark, as PNG."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from experiments.bench.records import Record
from experiments.folder import write_figure
from jaxnets import json_files
from jaxnets.plot_style import COLOURS

LIBRARIES = {
    "ours": "jaxnets",
    "torch": "PyTorch",
    "torch_compile": "PyTorch, compiled",
    "keras": "Keras on JAX",
    "linen": "Flax Linen",
    "nnx": "Flax NNX",
    "equinox": "Equinox",
    "stax_scan": "stax in a scan",
}
NETWORKS = {
    "mlp": "MLP",
    "cnn_bn": "CNN with batch norm",
    "cnn_5x5": "CNN with 5 x 5 kernels",
    "population": "{members} MLPs at once",
    "alexnet": "AlexNet",
    "vgg16": "VGG-16",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
}
ABOVE: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "fontsize": 10}
POPULATION = Path("experiments/results/population.json")


def write_plots(records: Sequence[Record], folder: Path) -> list[Path]:
    """Write every plot for which there are records, and the plot of the population timing."""
    measured = [record for record in records if "left_out" not in record]
    speed = [record for record in measured if record["kind"] == "speed"]
    timed = [record for record in measured if record["kind"] == "time_to_accuracy"]
    figures = {
        "throughput": throughput(speed) if speed else None,
        "share_of_limit": shares(speed) if speed else None,
        "time_to_accuracy": times_to_accuracy(timed) if timed else None,
        "population": of_population_sizes(),
    }
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, figure in figures.items():
        if figure is not None:
            written.append(folder / f"bench_{name}.png")
            write_figure(written[-1], figure)
    return written


def of_population_sizes() -> Figure:
    """The plot of the result of the population timing."""
    cure = f"restore it, or run python -m experiments.timings.population --out {POPULATION}"
    result = json_files.read(POPULATION, cure=cure)
    with json_files.as_json_errors(POPULATION, cure):
        return population(result)


def throughput(records: Sequence[Record]) -> Figure | None:
    """Examples per second against the batch size, with quartiles; None if no case has two sizes."""
    many = [
        r for r in records if len({s["batch_size"] for s in records if s["case"] == r["case"]}) > 1
    ]
    if not many:
        return None
    figure, panels = _panels(many, "Training throughput")
    for axes, chosen in panels:
        for peer, group in _by(chosen, "peer"):
            group = sorted(group, key=lambda record: record["batch_size"])
            speeds = [record["samples_per_second"] for record in group]
            medians = [speed["median"] for speed in speeds]
            below, above = (
                [abs(speed["median"] - speed[end]) for speed in speeds] for end in ("low", "high")
            )
            sizes = [record["batch_size"] for record in group]
            axes.errorbar(sizes, medians, (below, above), marker="o", capsize=3, label=_human(peer))
        axes.set(
            xscale="log", yscale="log", xlabel="examples per step", ylabel="examples per second"
        )
        _plain_ticks(axes, sorted({record["batch_size"] for record in chosen}))
        axes.legend()
    return figure


def shares(records: Sequence[Record]) -> Figure:
    """The model's FLOP/s over those of a big matmul, at each case's largest batch."""
    figure, panels = _panels(records, "Model FLOP/s, share of a big matmul's in the same run")
    for axes, chosen in panels:
        largest = max(record["batch_size"] for record in chosen)
        chosen = [record for record in chosen if record["batch_size"] == largest]
        names = [_human(record["peer"]) for record in chosen]
        values = [100 * (record["share_of_matmul"] or 0) for record in chosen]
        bars = axes.barh(names, values, color=[_colour(record["peer"]) for record in chosen])
        axes.bar_label(bars, fmt="%.0f %%", padding=3)
        axes.set(xlabel=f"share of the matmul limit (%), batch {largest}")
        # above 100 if an algorithm needs fewer operations
        axes.set_xlim(0, 1.2 * max(100, *values))
        axes.invert_yaxis()
    return figure


def times_to_accuracy(records: Sequence[Record]) -> Figure:
    """The seconds to the accuracy, a dot per seed."""
    figure, panels = _panels(
        records, "Time to test accuracy, with compiling: a dot per seed, a line at the median"
    )
    for axes, chosen in panels:
        for row, record in enumerate(chosen):
            seconds = [
                curve[-1][0] for curve in record["curves"] if curve[-1][1] >= record["target"]
            ]
            axes.plot(seconds, [row] * len(seconds), "o", color=_colour(record["peer"]), alpha=0.7)
            if seconds:
                middle = float(np.median(seconds))
                axes.plot([middle], [row], "|", color="black", markersize=22, markeredgewidth=3)
                axes.annotate(f"{middle:.1f} s", (middle, row), (0, 15), **ABOVE)
        axes.set_yticks(range(len(chosen)), [_human(record["peer"]) for record in chosen])
        axes.set(xlabel=f"seconds to {chosen[0]['target']:.0%}", ylim=(len(chosen) - 0.5, -0.5))
        axes.set_xlim(left=0)
    return figure


def population(result: dict[str, Any]) -> Figure:
    """Members trained per second against the size of the population, with quartiles."""
    sizes = {int(n): values for n, values in result["by size, shared batches"].items()}
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    speeds = [values["members per second"] for values in sizes.values()]
    low, middle, high = zip(*speeds, strict=True)
    axes.fill_between(list(sizes), low, high, alpha=0.3)
    axes.plot(list(sizes), middle, "o-")
    axes.set(
        xscale="log", xlabel="networks in the population", ylabel="networks trained per second"
    )
    axes.set_title(
        f"{result['network']},\n{result['updates']} steps of {result['batch_size']} examples"
    )
    axes.set_ylim(bottom=0)
    _plain_ticks(axes, list(sizes))
    axes.grid(alpha=0.3)
    return figure


def _panels(
    records: Sequence[Record], title: str
) -> tuple[Figure, list[tuple[Axes, list[Record]]]]:
    """A figure with a panel for each case, size of a population, dtype and device."""
    groups = list(_by(records, "case", "members", "dtype", "device"))
    columns = min(2, len(groups))
    rows = -(-len(groups) // columns)
    figure = Figure(figsize=(6.2 * columns, 0.7 + 3.8 * rows), layout="constrained")
    figure.suptitle(title)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for empty in axes[len(groups) :]:
        empty.remove()
    for panel, (_, (first, *_)) in zip(axes, groups, strict=False):
        panel.set_title(f"{_network(first)}, {first['dtype']}, {first['device']}")
        panel.grid(alpha=0.3)
        panel.set_axisbelow(True)
    return figure, [(panel, group) for panel, (_, group) in zip(axes, groups, strict=False)]


def _by(records: Iterable[Record], *names: str) -> Iterable[tuple[Any, list[Record]]]:
    """The records grouped by the values of these names, in the order of their first occurrence."""
    groups: dict[Any, list[Record]] = {}
    for record in records:
        key = tuple(record[name] for name in names) if len(names) > 1 else record[names[0]]
        groups.setdefault(key, []).append(record)
    return groups.items()


def _plain_ticks(axes: Axes, x: Sequence[int]) -> None:
    """Label ticks in plain digits: at these values on x, at 1, 2 and 5 times 10^n on y."""
    axes.set_xticks(x, map(str, x))
    axes.xaxis.minorticks_off()
    if axes.get_yscale() == "log":
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:,.0f}")


def _colour(peer: str) -> str:
    return COLOURS[1] if peer.startswith("ours") else COLOURS[0]


def _human(peer: str) -> str:
    """The name of what was measured, such as "jaxnets, 2 devices"."""
    name, _, more = peer.partition(",")
    return LIBRARIES.get(name, name.replace("_", " ")) + (f",{more}" if more else "")


def _network(record: Record) -> str:
    name = NETWORKS.get(record["case"], record["case"].replace("_", " "))
    return name.format(members=record["members"])
