"""Seeds one after another, each a run in a folder of its own: for networks that take minutes.

`population.experiment` trains all seeds abreast, so that none is ready before the last. Here what
is known of the first ones is written while the others train.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from experiments import common
from experiments.folder import load_learnt, machine, write_json
from experiments.population import ensembles, percent, seed_keys
from jaxnets import json_files
from jaxnets.data import Split
from jaxnets.errors import JSONError
from jaxnets.training import predict_proba
from jaxnets.training.population import spread

CURE = "delete this seed's folder, and its network is trained again"


@dataclass(frozen=True)
class Config(common.Config):
    """The options of an experiment that trains one seed after another."""

    seeds: int = 1
    """Networks to train, one after another, with the seeds from `seed` on."""


def experiment(
    run: common.Run, config: Config, train_step: Any, train: Split, validation: Split
) -> None:
    """Train a network a seed, and evaluate each on the test set, once, when it is ready.

    Each is a run of one seed in the folder "seedN". Where `config.resume` goes on with a run, a
    network that is ready is left as it is. The examples held out are those of the first seed for
    all. Raises `Interrupted` where a seed was, and then those before it are reported.
    """
    steps = config.epochs * (len(train.x) // max(1, config.batch_size))  # `fit` checks both
    results, probabilities = [], []
    for number, key in enumerate(seed_keys(config.seed, config.seeds)):
        seed = config.seed + number
        folder = run.folder / f"seed{seed}"
        own = replace(config, seed=seed, seeds=1, out=folder, resume=folder.exists())
        if result_in(folder).get("steps") != steps:
            alone = common.Run(run.name, own, run.dataset)
            sizes = {"epochs": config.epochs, "batch_size": config.batch_size}
            how = {"key": key, "hparams": config.hparams, "validation": validation}
            fitted = alone.fit(train_step, train, **sizes, **how)
            alone.finish(train_step, fitted, hparams=config.hparams)
        results.append({"seed": seed, **result_in(folder)})
        learnt, x = load_learnt(folder), run.dataset.test.x
        probabilities.append(predict_proba(train_step, learnt, x, hparams=config.hparams))
        finish(run, config, results, np.stack(probabilities))


def result_in(folder: Path) -> dict[str, Any]:
    """What the run in a folder has written of its result; nothing where it has not come so far."""
    path = folder / "result.json"
    if not path.exists():
        return {}
    result = json_files.read(path, cure=CURE)
    for name in ("steps", "test_accuracy", "train_seconds"):
        if not isinstance(result.get(name), int | float):
            raise JSONError(path, f"its {name} is {result.get(name)!r}", CURE)
    return result


def finish(
    run: common.Run, config: Config, results: list[dict[str, Any]], probabilities: np.ndarray
) -> None:
    """Write and tell what came of the seeds that are ready, alone and together."""
    accuracy = spread(np.array([result["test_accuracy"] for result in results]))
    found = ensembles(probabilities, run.dataset.test.y)
    seconds = float(np.mean([result["train_seconds"] for result in results]))
    result = {
        "test_accuracy": accuracy._asdict(),
        "ensemble": found,
        "train_seconds_a_seed": seconds,
        "by_seed": results,
        **machine(),
    }
    write_json(run.folder / "result.json", result)
    average, vote = (found[way]["accuracy"] for way in ("average", "vote"))
    print(
        f"{accuracy.n} of {config.seeds} seeds: test accuracy {percent(accuracy)}; ensemble: "
        f"average {average:.2%}, vote {vote:.2%}; {seconds:.0f} s of training a seed",
        flush=True,
    )
