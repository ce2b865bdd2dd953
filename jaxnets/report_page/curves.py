"""Training curves from a run's log: the metrics of each chunk, not means since the epoch began."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxnets.report_page.svg import Line, chart

Record = Mapping[str, Any]  # a line of metrics.jsonl: the fields of `training.Progress`


def of_chunks(log: Sequence[Record], name: str) -> tuple[np.ndarray, np.ndarray]:
    """The steps (points,) and a training metric over the steps since the previous point.

    The log has means since the start of a period, which are smoothed and lag behind. The loss or
    accuracy of the steps between two reports is the difference of their sums, if all steps count
    the same; for a population's medians, approximately. Other metrics may not be means, so only
    their values at the end of the periods are used.
    """
    ends = [bool(r["validation"]) for r in log]
    ends = ends if any(ends) else [bool(r["epoch_done"]) for r in log]
    ends[-1:] = [True]
    is_mean = name.endswith(("loss", "accuracy"))
    points, start, before, total = [], 0, 0, np.float64(0)
    for record, period_ends in zip(log, ends, strict=True):
        step, value = record["step"], numbers(record["train"][name])
        if is_mean:
            sums = value * (step - start)
            if step > before:
                points.append((step, (sums - total) / (step - before)))
            before, total = step, sums
        elif period_ends:
            points.append((step, value))
        if period_ends:
            start, total = step, np.float64(0)
    steps, values = zip(*points, strict=True)
    return np.array(steps), np.array(values)


def of_validation(log: Sequence[Record], name: str) -> tuple[np.ndarray, np.ndarray]:
    """The steps (points,) and a metric over the validation split; empty without one."""
    points = [
        (r["step"], numbers(r["validation"][name])) for r in log if name in (r["validation"] or ())
    ]
    return np.array([step for step, _ in points]), np.array([value for _, value in points])


def curves(log: Sequence[Record]) -> str:
    """A chart per scalar metric; of a population, with a line per member and the range."""
    return "".join(_one(log, name) for name in scalars(log))


def compared(logs: Mapping[str, Sequence[Record]]) -> str:
    """A chart per metric of any run, with a line per run, of the validation split if it has one."""
    names = dict.fromkeys(name for log in logs.values() for name in scalars(log))
    return "".join(_compared(logs, name) for name in names)


def scalars(log: Sequence[Record]) -> list[str]:
    """The names of the metrics that are a number, or one per member."""
    if not log:
        return []
    return [name for name, value in log[0]["train"].items() if numbers(value).ndim <= 1]


def numbers(value: Any) -> np.ndarray:
    """A logged value as an array; null is NaN."""
    if isinstance(value, np.ndarray):
        return value.astype(np.float64)
    if isinstance(value, list):
        return np.array([numbers(part) for part in value], np.float64)
    return np.asarray(math.nan if value is None else value, np.float64)


def label(name: str, log: Sequence[Record]) -> str:
    """A metric's name with spaces; a classifier's loss with its unit, the cross-entropy's."""
    unit = " (nats)" if name == "loss" and "accuracy" in scalars(log) else ""
    return name.replace("_", " ") + unit


def _one(log: Sequence[Record], name: str) -> str:
    lines = [Line("training", *of_chunks(log, name))]
    steps, values = of_validation(log, name)
    if len(steps):
        lines.append(Line("validation", steps, values, dashed=True))
    words = label(name, log)
    return chart(lines, words, "training step", words)


def _compared(logs: Mapping[str, Sequence[Record]], name: str) -> str:
    lines, kinds = [], set()
    for run, log in logs.items():
        if name in scalars(log):
            validated = any(r["validation"] and name in r["validation"] for r in log)
            kinds.add("validation" if validated else "training")
            of = of_validation if validated else of_chunks
            lines.append(Line(run, *of(log, name), dashed=len(lines) % 2 == 1))
    (words, *others) = {label(name, log) for log in logs.values() if name in scalars(log)}
    words = name.replace("_", " ") if others else words
    title = f"{words}, {' and '.join(sorted(kinds))}"
    return chart(lines, title, "training step", words)
