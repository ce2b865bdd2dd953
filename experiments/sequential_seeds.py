"""Trains seeds one after another, each as a run in its own folder, for networks that take minutes.

`Run.fit` trains all seeds in one program, so that all finish at the same time. Here the results of
the first seeds are written while the others train.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments.folder import load_params, machine
from experiments.reports import ensembles, percent
from experiments.runner import Run, seed_keys
from jaxnets import json_files
from jaxnets.data import Split
from jaxnets.errors import JSONError
from jaxnets.training import predict_proba
from jaxnets.training.population import spread
from jaxnets.training.report import write_json

CURE = "delete this seed's folder to train its network again"


def fit(run: Run, train_step: Any, train: Split, validation: Split) -> None:
    """Train one network per seed, and evaluate each once on the test split when it is finished.

    Each is a run of one seed in the folder "seedN". A resumed run skips finished networks. All use
    the held-out examples of the first seed. If a seed is interrupted, writes the results of the
    previous ones and raises `Interrupted`.
    """
    config: Any = run.config
    steps = config.epochs * (len(train.x) // max(1, config.batch_size))  # `fit` checks both
    results, probabilities = [], []
    for number, _ in enumerate(seed_keys(config.seed, config.seeds)):
        seed = config.seed + number
        folder = run.folder / f"seed{seed}"
        if result_in(folder).get("steps") != steps:
            options = {"seed": seed, "seeds": 1, "out": folder, "resume": folder.exists()}
            single = Run(run.name, replace(config, **options), run.dataset)
            result = single.fit(train_step, train, validation=validation)
            single.finish(train_step, result)
        results.append({"seed": seed, **result_in(folder)})
        trained, x = load_params(folder), run.dataset.test.x
        probabilities.append(predict_proba(train_step, trained, x, hparams=config.hparams))
        write_results(run, results, np.stack(probabilities))


def result_in(folder: Path) -> dict[str, Any]:
    """The result that the run in a folder has written; empty if there is none."""
    path = folder / "result.json"
    if not path.exists():
        return {}
    result = json_files.read(path, cure=CURE)
    for name in ("steps", "test_accuracy", "train_seconds"):
        if not isinstance(result.get(name), int | float):
            raise JSONError(path, f"its {name} is {result.get(name)!r}", CURE)
    return result


def write_results(run: Run, results: list[dict[str, Any]], probabilities: np.ndarray) -> None:
    """Write and print the results of the finished seeds, single and as an ensemble."""
    config: Any = run.config
    accuracy = spread(np.array([result["test_accuracy"] for result in results]))
    ensemble = ensembles(probabilities, run.dataset.test.y)
    seconds = float(np.mean([result["train_seconds"] for result in results]))
    result = {
        "test_accuracy": accuracy._asdict(),
        "ensemble": ensemble,
        "train_seconds_a_seed": seconds,
        "by_seed": results,
        **machine(),
    }
    write_json(run.folder / "result.json", result)
    average, vote = (ensemble[name]["accuracy"] for name in ("average", "vote"))
    print(
        f"{accuracy.n} of {config.seeds} seeds: test accuracy {percent(accuracy)}; ensemble: "
        f"average {average:.2%}, vote {vote:.2%}; {seconds:.0f} s of training per seed",
        flush=True,
    )
