"""What the deck scripts share: a constant learning rate, and results beside the slides'."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Literal, NamedTuple

import optax
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments import common
from experiments.folder import write_json
from jaxnets.training import FitResult
from jaxnets.training.train_step import Hparams

Optimizer = Literal[tuple(common.OPTIMIZERS)]  # type: ignore[valid-type]


@dataclass(frozen=True)
class Config(common.Config):
    """The options of an experiment, with the learning rate as the slides have it."""

    learning_rate: float = 0.001
    """The same at every step."""

    def make_optimizer(self, hparams: Hparams, examples: int = 0) -> optax.GradientTransformation:
        """The optimizer."""
        del examples
        constructor, _ = common.OPTIMIZERS[self.optimizer]
        return constructor(hparams["learning_rate"])


class Beside(NamedTuple):
    """One result: what it is of, the slide's number or claim, and ours."""

    what: str
    slide: str
    here: str


def beside(folder: Path, *rows: Beside | tuple[str, str, str]) -> None:
    """Print our results beside the slides', and write them to slides.json."""
    table = [Beside(*row) for row in rows]
    widths = [max(len(row[column]) for row in [Beside._fields, *table]) for column in (0, 1)]
    for row in [Beside("", "slide", "here"), *table]:
        print(f"{row.what:{widths[0]}}  {row.slide:{widths[1]}}  {row.here}", flush=True)
    write_json(folder / "slides.json", [row._asdict() for row in table])


def mean_and_spread(values: Sequence[float]) -> str:
    """The mean of some accuracies, and where there are several their standard deviation (n - 1)."""
    spread = f" +- {stdev(values):.4f}" if len(values) > 1 else ""
    return f"{fmean(values):.4f}{spread} (n = {len(values)})"


def watched(runs: Mapping[str, FitResult], title: str) -> Figure:
    """Loss and accuracy on the validation split, by epoch, a line a run."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(title)
    for axes, name in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for label, fitted in runs.items():
            done = [p for p in fitted.history if p.validation is not None]
            values = [p.validation[name] for p in done]
            axes.plot([p.epoch for p in done], values, "o-", markersize=4, label=label)
        axes.set(xlabel="epoch", ylabel="validation " + name + " (nats)" * (name == "loss"))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)
        axes.legend()
    return figure
