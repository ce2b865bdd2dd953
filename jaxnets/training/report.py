"""Where a run's progress goes: a reporter is any function of `Progress`."""

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxnets.files import atomic_append
from jaxnets.named import Named


class Progress(NamedTuple):
    """What `fit` reports after every chunk.

    Attributes:
      step: steps taken so far.
      steps: steps in the whole run.
      epoch: the epoch these figures belong to, from 1.
      epochs: epochs in the whole run.
      epoch_done: whether this is the epoch's last report.
      train: the metrics' values over this epoch so far, as seen in training.
      validation: the metrics' values over the validation split, where there is one and the
        epoch is done.
      seconds: time spent training so far, without compiling and evaluating.
      samples_per_second: examples trained on a second, over this chunk.
      nonfinite: steps so far whose objective was NaN or infinite, and not a reason to stop.
      warnings: what the callbacks returned for this chunk.
    """

    step: int
    steps: int
    epoch: int
    epochs: int
    epoch_done: bool
    train: dict[str, float]
    validation: dict[str, float] | None
    seconds: float
    samples_per_second: float
    nonfinite: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def passes(self) -> float:
        """Passes over the training data so far: `epoch` when that is done, and less before."""
        return self.epochs * self.step / self.steps

    @property
    def seconds_left(self) -> float:
        """An estimate from the pace of the run so far."""
        return self.seconds / self.step * (self.steps - self.step)


Reporter = Callable[[Progress], None]


def to_json(value: Any) -> Any:
    """The value in JSON's own types, where NaN and infinity are null."""
    if isinstance(value, dict):
        return {name: to_json(part) for name, part in value.items()}
    if isinstance(value, np.ndarray):
        return to_json(value.tolist())
    if isinstance(value, list | tuple):
        return [to_json(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


silent: Reporter = Named("silent", lambda progress: None)


def combine(*reporters: Reporter) -> Reporter:
    """Report to each in turn."""

    def report(progress: Progress) -> None:
        for reporter in reporters:
            reporter(progress)

    return report


def json_lines(path: str | Path) -> AbstractContextManager[Reporter]:
    """One JSON object per report, appended to the file at `path` at once, a whole line or nothing.

    A figure that is NaN or infinite, which JSON has no word for, is null.
    """
    return _json_lines(Path(path).absolute())  # the working directory may have changed by its use


@contextmanager
def _json_lines(path: Path) -> Iterator[Reporter]:
    with atomic_append(path) as append:
        yield lambda progress: append((json.dumps(to_json(progress._asdict())) + "\n").encode())


@contextmanager
def console() -> Iterator[Reporter]:
    """A live display on a terminal; elsewhere one plain line an epoch and an evaluation."""
    if not sys.stdout.isatty():
        yield _print_line
        return
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Display

    figures = TextColumn("{task.fields[figures]}")
    with Display(TextColumn("{task.description}"), BarColumn(), figures) as display:
        task = display.add_task("compiling", total=None, figures="")

        def report(progress: Progress) -> None:
            for warning in progress.warnings:
                display.console.print(f"warning: {warning}", highlight=False)
            if _is_due(progress):
                display.console.print(_line(progress), highlight=False)
            display.update(
                task,
                description=f"epoch {progress.epoch}/{progress.epochs}",
                completed=progress.step,
                total=progress.steps,
                figures=f"{_figures(progress.train)}  {_pace(progress)}  "
                f"{progress.seconds_left:.0f} s left",
            )

        yield report


def _print_line(progress: Progress) -> None:
    for warning in progress.warnings:
        print(f"warning: {warning}", flush=True)
    if _is_due(progress):
        print(_line(progress), flush=True)


def _is_due(progress: Progress) -> bool:
    return progress.epoch_done or progress.validation is not None


def _line(progress: Progress) -> str:
    unit, made, planned = "epoch", progress.epoch, progress.epochs
    if not progress.epoch_done:
        unit, made, planned = "step", progress.step, progress.steps
    line = f"{unit} {made:{len(str(planned))}}/{planned}  {_figures(progress.train)}"
    if progress.validation is not None:
        line += f"  validation {_figures(progress.validation)}"
    if progress.nonfinite:
        line += f"  {progress.nonfinite} steps not finite"
    return f"{line}  {_pace(progress)}"


def _figures(values: dict[str, float]) -> str:
    numbers = {name: value for name, value in values.items() if isinstance(value, float)}
    return "  ".join(f"{name} {value:.4f}" for name, value in numbers.items())


def _pace(progress: Progress) -> str:
    return f"{progress.samples_per_second:,.0f} samples/s"
