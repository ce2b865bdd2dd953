"""A multi-layer perceptron on a table of your own: CSV or Parquet, one row per example.

python -m experiments.own_table --data loans.csv --target approved
python -m experiments.own_table --data houses.csv --target price --drop address id

Deck S2's applicant for credit is a row of such a table. Numbers are scaled, text is one-hot
encoded, and missing values get an input of their own, as `data.from_table` describes; a fifth of
the rows, of each class if there are classes, is evaluated once at the end. The folder of the run
then has report.html and model.jaxnets, which any process can load to predict for new rows:

    load_model("runs/own_table/model.jaxnets").predict({"income": 30000, "age": 41})
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from experiments import command_line, configs, runner
from experiments.reports import Report, interruption
from jaxnets import data, losses, metrics, models
from jaxnets.data import Dataset
from jaxnets.inspect import plots
from jaxnets.training import FitResult, RunError, TrainStep, make_train_step, predict_outputs
from jaxnets.training.train_step import Hparams


@dataclass(frozen=True)
class Config(configs.RecipeConfig):
    """A multi-layer perceptron on a table."""

    data_dir: ClassVar[None] = None
    seeds: ClassVar[int] = 1
    data: Path | None = None
    """The table: a .csv, .tsv or .parquet file."""
    target: str = ""
    """The name of the column to predict."""
    task: Literal["classification", "regression"] | None = None
    """Classification or regression; by default, depends on the target's values."""
    drop: tuple[str, ...] = ()
    """Names of columns to leave out."""
    categories: tuple[str, ...] = ()
    """Names of numeric columns to treat as categories, such as postcodes."""
    epochs: int = 60
    batch_size: int = 32
    hidden: tuple[int, ...] = (64, 64)
    """Units of each hidden layer."""
    validation: float = 0.2
    """Share of the training rows that is held out; never trained on."""


def load(config: Config) -> Dataset:
    """The rows of the table."""
    if config.data is None or not config.target:
        raise RunError(
            "own_table expects a table and the column to predict; pass --data loans.csv --target "
            "approved"
        )
    options = {"task": config.task, "drop": config.drop, "categories": config.categories}
    return data.from_table(config.data, config.target, seed=config.seed, **options)


def experiment(config: Config) -> None:
    """Train, and evaluate once on the test rows."""
    dataset = load(config)
    split = data.split_by_class if dataset.classes else split_rows
    train, validation = split(dataset.train, config.validation, seed=config.seed)
    run = runner.Run("own_table", config, dataset)
    model = models.mlp((*config.hidden, len(dataset.classes) or 1))
    loss = losses.softmax_cross_entropy if dataset.classes else losses.mean_squared_error
    measured = {"accuracy": metrics.accuracy} if dataset.classes else {}

    def train_step(hparams: Hparams) -> TrainStep:
        optimizer = config.make_optimizer(hparams, len(train.y))
        return make_train_step(model, optimizer, loss, metrics=measured)

    result = run.fit(train_step, train, validation=validation)
    run.finish(train_step, result, None if dataset.classes else regression)


def split_rows(split: Any, share: float, *, seed: int) -> tuple[Any, Any]:
    """Hold out a share of all rows."""
    return data.train_test_split(split, max(1, round(share * len(split.y))), seed=seed)


def regression(run: runner.Run, train_step: Any, result: FitResult) -> Report:
    """The error on the test rows in the target's unit, and the share of the variance explained."""
    encoder, test = run.dataset.preprocess, run.dataset.test
    outputs = predict_outputs(train_step, result.train_state, test.x, hparams=run.config.hparams)
    error = encoder.decode(outputs) - encoder.decode(test.y)
    rmse = float(np.sqrt(np.mean(error**2)))
    explained = float(1 - np.mean((outputs - test.y) ** 2) / np.var(test.y))
    title = f"{run.name} on {run.dataset.name}: root mean squared error {rmse:.4g}"
    curves = plots.curves(result.history, title + interruption(run, result))
    return Report(
        result={"test_rmse": rmse, "test_r2": explained},
        figures={"curves": curves} if result.history else {},
        text=f"test root mean squared error {rmse:.4g} in units of {run.config.target}, "
        f"R² {explained:.3f}, after {int(result.train_state.step)} steps",
    )


if __name__ == "__main__":
    command_line.main(experiment, Config)
