"""The runner of every experiment: options, run folder, saved training, and the final report.

An experiment is a function of a `Config`. It opens a `Run`, trains with `run.fit`, and ends with
`run.finish`; `command_line.main` parses its options.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from matplotlib.figure import Figure

from experiments import distributed, pages, reports
from experiments.folder import begin, cut, save_params, write_figure, write_json
from jaxnets.data import Dataset
from jaxnets.layer import Key
from jaxnets.saved_model import save_model
from jaxnets.training import (
    Checkpoints,
    FileStore,
    FitResult,
    Interrupted,
    RunError,
    ShardedStore,
    combine,
    console,
    fit,
    json_lines,
)
from jaxnets.training.monitors import loss_spikes
from jaxnets.training.population import PopulationResult, fit_population
from jaxnets.training.report import to_json
from jaxnets.training.runners import Strategy
from jaxnets.training.train_step import Hparams, resolve

# Each with its default peak learning rate.
OPTIMIZERS: dict[str, tuple[Callable[..., optax.GradientTransformation], float]] = {
    "sgd": (optax.sgd, 0.3),
    "momentum": (lambda rate: optax.sgd(rate, momentum=0.9), 0.05),
    "nesterov": (lambda rate: optax.sgd(rate, momentum=0.9, nesterov=True), 0.05),
    "adagrad": (optax.adagrad, 0.02),
    "adadelta": (optax.adadelta, 1.0),
    "rmsprop": (optax.rmsprop, 0.001),
    "adam": (optax.adam, 0.002),
    "adamw": (lambda rate: optax.adamw(rate, weight_decay=1e-2), 0.002),
}
Optimizer = Literal[tuple(OPTIMIZERS)]  # type: ignore[valid-type]
Flag = Annotated[bool, tyro.conf.FlagCreatePairsOff]


@dataclass(frozen=True)
class Config:
    """The options that every experiment has."""

    save_seconds: ClassVar[float] = 5.0
    """Seconds of training between two saves."""
    chunk_seconds: ClassVar[float] = 1.0
    """Seconds of device time between two reports."""

    data_dir: Path | None = None
    """A folder with the data set's IDX files, instead of those that `data.load` finds."""
    out: Path | None = None
    """The folder to write to; by default a new one, runs/NAME-TIME."""
    resume: ClassVar[bool] = False
    """Whether to continue the run in `out`, for experiments that support it."""
    strategy: ClassVar[Strategy | None] = None
    """How a population trains, for experiments that support a choice."""

    @property
    def hparams(self) -> dict[str, float]:
        """The hyperparameters of the train step; new values do not recompile."""
        return {}


@dataclass(frozen=True)
class TrainingConfig(Config):
    """The options of an experiment that trains, and that can be resumed."""

    epochs: int = 10
    """Passes over the training data."""
    batch_size: int = 128
    """Examples per step."""
    validation: int = 5000
    """Training examples held out for validation; never trained on."""
    seed: int = 0
    """The seed of the weights, the order, the held-out examples and all other random numbers."""
    resume: Flag = False
    """Continue the run in --out, bit for bit; only --epochs may differ."""


@dataclass(frozen=True)
class RecipeConfig(TrainingConfig):
    """The options of a recipe: one network, or one per seed, with a one-cycle schedule."""

    optimizer: Optimizer = "adamw"
    """The optimizer, by its name."""
    learning_rate: float | None = None
    """The peak of a one-cycle cosine schedule; the default depends on the optimizer."""
    seeds: int = 1
    """Number of networks to train, with consecutive seeds from --seed."""
    strategy: Strategy | None = None
    """How several networks train: vmap, all at once; map, one by one; None, the faster."""
    distributed: Flag = False
    """Train with several processes, started by SLURM, Open MPI, Kubernetes, Cloud TPU or
    `experiments.launch`, with --out in a folder that all can read and write."""
    stall_seconds: float | None = None
    """With --distributed: end with status 77 if no chunk ends for so long."""

    @property
    def hparams(self) -> dict[str, float]:
        """The hyperparameters that `make_optimizer` reads."""
        rate = OPTIMIZERS[self.optimizer][1] if self.learning_rate is None else self.learning_rate
        return {"learning_rate": rate}

    def make_optimizer(self, hparams: Hparams, examples: int) -> optax.GradientTransformation:
        """The optimizer, with a one-cycle cosine schedule over the run."""
        steps = max(1, self.epochs * (examples // max(1, self.batch_size)))  # `fit` checks both
        cycle = optax.cosine_onecycle_schedule(steps, peak_value=1.0)
        constructor, _ = OPTIMIZERS[self.optimizer]
        return constructor(lambda count: hparams["learning_rate"] * cycle(count))


def seed_keys(first: int, n: int, times: int = 1) -> Key:
    """The keys of n consecutive seeds, as single runs use them, repeated `times` times."""
    if n < 1:
        raise RunError(f"--seeds expects a positive integer, but got {n}")
    return jnp.stack([jax.random.key(seed) for seed in [*range(first, first + n)] * times])


class Run:
    """The folder of one run, and everything that is written to it.

    Attributes:
      folder: new and empty, or that of the run to continue.
      shared: the same, but for the other processes of a run, whose own folder is deleted.
      resumes: whether it contains a run to continue.
      interrupted: the exception that ended `fit` early, or None.
    """

    def __init__(self, name: str, config: Config, dataset: Dataset):
        self.name, self.config, self.dataset = name, config, dataset
        self.interrupted: Interrupted | None = None
        opened = distributed.begin(begin, name, config, dataset, **config.hparams)
        self.folder, self.shared, self.resumes = opened
        self.began = time.perf_counter()

    def fit(self, train_step: Any, train: Any, *, seeds: int = 1, **options: Any) -> Any:
        """Train one network, or one per seed as a population; saves and logs to the folder.

        After Ctrl-C or SIGTERM, returns the result so far.

        Args:
          train_step: a function of `config.hparams` that returns a train step.
          train: the training data.
          seeds: the number of networks, with consecutive seeds from `config.seed`.
          options: options of `fit` or `fit_population`, which override those of the config.
        """
        config: Any = self.config
        options = {"epochs": config.epochs, "batch_size": config.batch_size} | options
        saved, log = self.saved("training"), self.folder / "metrics.jsonl"
        cut(log, saved["checkpoints"].latest_valid() or 0)
        options |= {"chunk_seconds": config.chunk_seconds, **saved}
        options |= distributed.options(config, seeds)
        if seeds == 1:
            single = {"key": jax.random.key(config.seed), "hparams": config.hparams}
            train_them, options = fit, single | {"callbacks": [loss_spikes()]} | options
        else:
            keys = seed_keys(config.seed, seeds)
            hparams = reports.broadcast(config.hparams, seeds)
            population = {"keys": keys, "hparams": hparams, "strategy": config.strategy}
            train_them, options = fit_population, population | options
        with console() as shown, json_lines(log) as written:
            try:
                return train_them(train_step, train, report=combine(shown, written), **options)
            except Interrupted as interrupted:
                self.interrupted = interrupted
                return interrupted.fit

    def fit_population(
        self, name: str, train_step: Any, train: Any, **options: Any
    ) -> PopulationResult:
        """`fit_population` as one part of a study, saved in the folder under a name.

        Raises `Interrupted` after Ctrl-C or SIGTERM, since other parts need the complete result.
        """
        config: Any = self.config
        sizes = {"epochs": config.epochs, "batch_size": config.batch_size}
        options = {"strategy": config.strategy, **sizes, **self.saved(name, keep=1)} | options
        with console() as shown:
            result = fit_population(train_step, train, report=shown, **options)
        print(
            f"{len(result.diverged)} networks by {result.strategy}: {result.train_seconds:.1f} s "
            f"of training, {result.compile_seconds:.1f} s of compiling; "
            f"{(result.diverged >= 0).sum()} diverged",
            flush=True,
        )
        return result

    def saved(self, name: str, *, keep: int = 3) -> dict[str, Any]:
        """Options with which `training.fit` saves in the folder under a name, and resumes."""
        folder = self.shared / "checkpoints" / name
        store = ShardedStore if getattr(self.config, "distributed", False) else FileStore
        checkpoints = Checkpoints(folder, every=self.config.save_seconds, keep=keep, store=store)
        return {"checkpoints": checkpoints, "resume": self.resumes}

    def finish(
        self, train_step: Any, result: FitResult | PopulationResult, make_report: Any = None
    ) -> None:
        """Save the parameters, evaluate once on the test split, and write results and figures.

        Args:
          train_step: the same as for `fit`.
          result: what `fit` returned.
          make_report: `make_report(run, train_step, result)` evaluates, draws, and returns a
            `reports.Report`; by default that of classifiers.

        Raises:
          Interrupted: training was interrupted; raised after everything is written.
        """
        population = isinstance(result, PopulationResult)
        train_state = result.train_states if population else result.train_state
        save_params(self.folder, train_state)
        if make_report is None:
            make_report = reports.classifiers if population else reports.classifier
        report = make_report(self, train_step, result)
        if not population and (make_report is reports.classifier or self.dataset.preprocess):
            self.save_model(train_step, train_state, report.result)
        shared = {
            "steps": int(np.max(train_state.step)),
            "compile_seconds": result.compile_seconds,
            "train_seconds": result.train_seconds,
            "samples_per_second": result.samples_per_second,
            "total_seconds": time.perf_counter() - self.began,
            "interrupted": self.interrupted is not None,
        }
        print(report.text)
        network = pages.network(
            train_step,
            train_state,
            self.dataset.test.x,
            hparams=self.config.hparams,
            population=population,
        )
        self.write(
            report.result | shared,
            report.figures,
            predicted=report.predicted,
            network=network,
            history=result.history if population else None,
        )
        if self.interrupted is not None:
            raise self.interrupted

    def save_model(self, train_step: Any, train_state: Any, metadata: Mapping[str, Any]) -> None:
        """Write model.jaxnets, from which `load_model` predicts in any process."""
        model, dataset = resolve(train_step, self.config.hparams)[0].model, self.dataset
        options = {"classes": dataset.classes, "preprocess": dataset.preprocess}
        example = getattr(dataset.test, "example", dataset.test).x  # of a stream, or of a split
        path, metadata = self.folder / "model.jaxnets", to_json(metadata)
        save_model(path, model, train_state, example, metadata=metadata, **options)

    def write(self, result: Mapping[str, Any], figures: Mapping[str, Figure], **page: Any) -> Any:
        """Write the figures, result.json and the page; return the result as it is in the file.

        `page` is what `pages.write_page` takes.
        """
        for name, figure in figures.items():
            write_figure(self.folder / f"{name}.png", figure)
        write_json(self.folder / "result.json", result)
        pages.write_page(self.folder, figures, **page)
        names = [*(f"{name}.png" for name in figures), "result.json", "report.html"]
        print(f"in {self.folder}: {', '.join(names)}", flush=True)
        return to_json(result)
