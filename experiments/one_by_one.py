"""Seeds one after another, each a run in a folder of its own: for networks that take minutes.

`population.experiment` trains all seeds abreast, so that none is ready before the last. Here what
is known of the first ones is written while the others train.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from experiments import common
from experiments.folder import machine, write_json
from experiments.population import ensembles, percent, seed_keys
from jaxnets.data import Split
from jaxnets.training import Update, predict_proba
from jaxnets.training.population import spread


@dataclass(frozen=True)
class Config(common.Config):
    """The options of an experiment that trains one seed after another."""

    seeds: int = 1
    """Networks to train, one after another, with the seeds from `seed` on."""


def experiment(
    run: common.Run, config: Config, update: Update, train: Split, validation: Split
) -> None:
    """Train a network a seed and evaluate each on the test set, once, when it is ready.

    Each is a run of one seed in the folder "seedN", and goes on from there where `config.resume`
    says so: of a network that is ready no step is made again. The examples held out are those of
    the first seed for all. Raises `Interrupted`, when all is written, where one was interrupted.
    """
    results, probabilities = [], []
    model, _ = update.build(config.hyper)
    seeds = range(config.seed, config.seed + config.seeds)
    for seed, key in zip(seeds, seed_keys(config.seed, config.seeds), strict=True):
        folder = run.folder / f"seed{seed}"
        own = replace(config, seed=seed, seeds=1, out=folder, resume=folder.exists())
        alone = common.Run(run.name, own, run.dataset)
        fitted = alone.fit(
            update,
            train,
            key=key,
            epochs=config.epochs,
            batch_size=config.batch_size,
            hyper=config.hyper,
            validation=validation,
        )
        results.append({"seed": seed, **alone.finish(model, update, fitted)})
        learnt = (fitted.train_state.params, fitted.train_state.state)
        probabilities.append(predict_proba(model, *learnt, run.dataset.test.x))
        finish(run, config, results, np.stack(probabilities))


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
