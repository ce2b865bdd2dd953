"""Reporters of a run's progress: any function of a `Progress`."""

import json
import math
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxnets.files import atomic_append, atomic_write
from jaxnets.named import Named


class Progress(NamedTuple):
    """What `fit` reports after every chunk.

    Attributes:
      step: steps taken so far.
      steps: steps in the whole run.
      epoch: the current epoch, from 1.
      epochs: epochs in the whole run, rounded up.
      epoch_done: whether this is the epoch's last report.
      train: the training metrics over this period so far, by default an epoch; each batch is
        measured before its step.
      validation: the metrics over the validation split, if there is one and the period is done.
      seconds: time spent training so far, without compiling and evaluating.
      samples_per_second: training examples per second, over this chunk.
      nonfinite: steps so far with a NaN or infinite objective that did not stop the run.
      warnings: for this chunk, those of the callbacks, and those about data that are not finite.
      steps_per_epoch: batches per epoch; None if not known.
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
    steps_per_epoch: int | None = None

    @property
    def passes(self) -> float:
        """Passes over the training data so far: `epoch` when it is done, and a fraction before.

        Without `steps_per_epoch` the run is assumed to be a whole number of epochs.
        """
        if self.steps_per_epoch is None:
            return self.epochs * self.step / self.steps
        return self.step / self.steps_per_epoch

    @property
    def seconds_left(self) -> float:
        """The estimated time to the end of the run, from its mean time per step so far."""
        return self.seconds / self.step * (self.steps - self.step)

    def to_dict(self) -> dict[str, Any]:
        """The fields as a dict, without `steps_per_epoch`, which is the same in every report."""
        return {name: v for name, v in self._asdict().items() if name != "steps_per_epoch"}


Reporter = Callable[[Progress], None]


def to_json(value: Any) -> Any:
    """The value in JSON types; NaN and infinity become null."""
    if isinstance(value, dict):
        return {name: to_json(part) for name, part in value.items()}
    if isinstance(value, np.ndarray):
        return to_json(value.tolist())
    if isinstance(value, list | tuple):
        return [to_json(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, content: Any) -> None:
    """Write the file atomically; NaN is null."""
    with atomic_write(path) as file:
        file.write((json.dumps(to_json(content), indent=2, default=str) + "\n").encode())


silent: Reporter = Named("silent", lambda progress: None)


def combine(*reporters: Reporter) -> Reporter:
    """A reporter that calls each of the reporters in turn."""

    def report(progress: Progress) -> None:
        for reporter in reporters:
            reporter(progress)

    return report


def json_lines(path: str | Path) -> AbstractContextManager[Reporter]:
    """Append one line of JSON per report to the file at `path`; each line is written at once.

    Numbers that are NaN or infinite, which JSON cannot represent, are written as null.
    """
    return _json_lines(Path(path).absolute())  # the working directory may change before its use


@contextmanager
def _json_lines(path: Path) -> Iterator[Reporter]:
    with atomic_append(path) as append:
        yield lambda progress: append((json.dumps(to_json(progress.to_dict())) + "\n").encode())


@contextmanager
def console() -> Iterator[Reporter]:
    """A live display on a terminal; elsewhere one plain line per epoch and per evaluation."""
    if not sys.stdout.isatty():
        yield _print_line
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Display
    from rich.table import Column

    screen = Console()  # rich's own keeps its first width
    columns = (  # where the screen is narrow, the bar is short and the end of the metrics is cut
        TextColumn("{task.description}", table_column=Column(no_wrap=True, min_width=11)),
        BarColumn(bar_width=max(5, min(40, screen.width - 80))),
        TextColumn("{task.fields[metrics]}", table_column=Column(no_wrap=True)),
    )
    with Display(*columns, console=screen) as display:
        task = display.add_task("compiling", total=None, metrics="")

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
                metrics=f"{progress.seconds_left:.0f} s left  {_format_metrics(progress.train)}  "
                f"{_format_speed(progress)}",
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
    unit, number, total = "epoch", progress.epoch, progress.epochs
    if not progress.epoch_done:
        unit, number, total = "step", progress.step, progress.steps
    line = f"{unit} {number:{len(str(total))}}/{total}  {_format_metrics(progress.train)}"
    if progress.validation is not None:
        line += f"  validation {_format_metrics(progress.validation)}"
    if progress.nonfinite:
        line += f"  {progress.nonfinite} steps not finite"
    return f"{line}  {_format_speed(progress)}"


def _format_metrics(metrics: dict[str, float]) -> str:
    numbers = {name: value for name, value in metrics.items() if isinstance(value, float)}
    return "  ".join(f"{name} {value:.4f}" for name, value in numbers.items())


def _format_speed(progress: Progress) -> str:
    return f"{progress.samples_per_second:,.0f} samples/s"
