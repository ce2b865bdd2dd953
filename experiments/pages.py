"""The page report.html of a run."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import jax

from jaxnets.report_page import Network, Predictions, run_page, write
from jaxnets.training import Progress, TrainStep
from jaxnets.training.train_step import Hparams, resolve


def network(
    train_step: Any, train_state: Any, x: Any, *, hparams: Hparams, population: bool
) -> Network | None:
    """The network of the page, of a population the first member; None for custom train steps."""
    step, _ = resolve(train_step, hparams)
    if not isinstance(step, TrainStep):
        return None
    params = train_state.params
    if population:
        params = jax.tree.map(lambda leaf: leaf[0], jax.device_get(params))
    return Network(step.model, params, x)


def write_page(
    folder: Path,
    figures: Iterable[str],
    predicted: Predictions | None = None,
    network: Network | None = None,
    history: Sequence[Progress] | None = None,
) -> None:
    """Write report.html, with the run's figures that the page does not draw itself."""
    drawn = {"curves"} if (folder / "metrics.jsonl").exists() else set()
    drawn |= set() if predicted is None else {"confusion"}
    files = {name: (folder / f"{name}.png").read_bytes() for name in figures if name not in drawn}
    page = run_page(folder, predicted=predicted, network=network, history=history, pictures=files)
    write(folder / "report.html", page)
