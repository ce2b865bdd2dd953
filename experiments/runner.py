"""The runner of every experiment: run folder, saved training, and the final report.

An experiment is a function of a `Config`. It opens a `Run`, trains with `run.fit`, and ends with
`run.finish`; `command_line.main` parses its options.
"""

import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments import distributed, pages, reports
from experiments.configs import Config
from experiments.folder import begin, cut, save_params, write_figure
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
from jaxnets.training.report import to_json, write_json
from jaxnets.training.train_step import resolve


def seed_keys(first: int, n: int, times: int = 1) -> Key:
    """The keys of n consecutive seeds, as single runs use them, repeated `times` times."""
    if n < 1:
        raise RunError(f"--seeds expects a positive integer, but got {n}")
    return jnp.stack([jax.random.key(seed) for seed in [*range(first, first + n)] * times])


class Run:
    """The folder of one run, and everything that is written to it.

    Attributes:
      folder: new and empty, or that of the run to continue.
      shared: the run's folder; in all processes but the first, `folder` is a temporary one.
      resumes: whether the folder contains a run to continue.
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
            f"of training, {result.compile_seconds:.1f} s of compilation; "
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
        self,
        train_step: Any,
        result: FitResult | PopulationResult,
        make_report: Any = None,
        *,
        examples: Any = None,
    ) -> None:
        """Save the parameters, evaluate once on the test split, and write results and figures.

        Args:
          train_step: the same as for `fit`.
          result: what `fit` returned.
          make_report: `make_report(run, train_step, result)` evaluates, draws, and returns a
            `reports.Report`; by default that of classifiers.
          examples: inputs of the model, where they differ from those of the test split.

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
            self.dataset.test.x if examples is None else examples,
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
        if self.folder == self.shared:  # that of other processes has no run.json
            pages.write_page(self.folder, figures, **page)
        names = [*(f"{name}.png" for name in figures), "result.json", "report.html"]
        print(f"in {self.folder}: {', '.join(names)}", flush=True)
        return to_json(result)
