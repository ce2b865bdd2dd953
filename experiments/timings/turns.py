"""Shared by the timings: turns, quartiles, and the file of the result."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from experiments.folder import machine, new_folder
from jaxnets.training.report import write_json

NOISY = 0.1  # the interquartile range, as a fraction of the median
Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Config:
    """The options that every timing has."""

    out: Path | None = None
    """The JSON file to write; by default result.json in a new folder, runs/NAME-TIME."""


class Quartiles(NamedTuple):
    """The lower quartile, the median and the upper quartile; a list in JSON."""

    low: float
    median: float
    high: float


def in_turn(
    measurements: Mapping[str, Callable[[], Measured]], rounds: int, *, warm_up: bool = True
) -> dict[str, list[Measured]]:
    """The results of each function by round; the functions take turns, A/B/A/B.

    With `warm_up`, one more round comes first, which compiles and fills caches and is not counted.
    """
    results: dict[str, list[Measured]] = {name: [] for name in measurements}
    for round_number in range(rounds + warm_up):
        for name, measure in measurements.items():
            result = measure()
            if round_number >= warm_up:
                results[name].append(result)
    return results


def seconds(function: Callable[[], object]) -> float:
    """The wall time of a call."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def quartiles(values: Any) -> Quartiles:
    """The quartiles of a measurement, to four decimals."""
    return Quartiles(*(round(float(q), 4) for q in _quantiles(values)))


def summary(values: Sequence[float]) -> dict[str, Any]:
    """The median, the quartiles, n, and whether the quartiles are far apart ("noisy")."""
    low, median, high = map(float, _quantiles(values))
    noisy = high - low > NOISY * abs(median)
    return {"median": median, "low": low, "high": high, "n": len(values), "noisy": noisy}


def _quantiles(values: Any) -> np.ndarray:
    return np.quantile(values, (0.25, 0.5, 0.75))


def ratio(seconds: Sequence[float], ours: Sequence[float]) -> dict[str, Any]:
    """The factor by which `ours` is faster, by round; a summary."""
    return summary(np.divide(seconds, ours).tolist())


def describe(milliseconds: Mapping[str, Mapping[str, float]]) -> str:
    """The median of each measurement in one line."""
    return ", ".join(f"{name} {value['median']:.3g} ms" for name, value in milliseconds.items())


def write(name: str, out: Path | None, result: Mapping[str, Any]) -> None:
    """Write the result, with the versions and the device, to `out` or to a new folder."""
    path = out or new_folder(name) / "result.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {**result, **machine()})
    print(f"written to {path}", flush=True)
