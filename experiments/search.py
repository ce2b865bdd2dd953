"""Hyperband against random search: what does a good setting cost to find?

python -m experiments.search

Both look for the learning rate, the width and the dropout rate of an MLP with one hidden layer on
MNIST. The unit of training is one epoch over 10,000 of the training images, 78 updates of 128;
another 10,000 are the validation images, which alone decide. Random search trains 64 settings for
all 27 units; Hyperband (eta 3) starts 49 of the same, and most of them it gives up early. The
splits, the settings and the first weights are the same for both, and others with every seed. At
the end the two settings that were chosen are trained again, and see the test images once.

The file of results has every score. It takes about 10 minutes on two CPU cores.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from jax.nn import relu
from jax.nn.initializers import lecun_normal

from experiments import common
from experiments.folder import begin, machine, write_figure, write_json
from jaxnets import Layer, data, dense, dropout, flatten, losses, metrics, scale_pixels, serial
from jaxnets.data import Dataset
from jaxnets.training import TrainStep, evaluate, make_train_step
from jaxnets.training.population import spread
from jaxnets.training.search import (
    Problem,
    Results,
    hyperband,
    integers,
    log_uniform,
    parallel_coordinates,
    random_search,
    retrain,
    scores,
    uniform,
)
from jaxnets.training.train_step import Hparams

WIDEST = 256
SPACE = {
    "learning_rate": log_uniform(1e-5, 1.0),
    "width": integers(8, WIDEST),
    "dropout_rate": uniform(0.0, 0.6),
}
WITHIN = 0.002  # of the accuracy: how near Hyperband is to come


@dataclass(frozen=True)
class Config:
    """Hyperband against random search, on MNIST."""

    seeds: int = 5
    """How many times both search, each time with other splits, settings and weights."""
    units: int = 27
    """Units of training of a setting that goes all the way."""
    trials: int = 64
    """Settings that random search trains, all the way."""
    images: int = 10_000
    """Training images; an epoch over them is the unit."""
    validation: int = 10_000
    """Images that decide."""
    batch_size: int = 128
    """Examples a step."""
    data_dir: Path | None = None
    """A folder with MNIST's IDX files, instead of those found by themselves."""
    out: Path | None = None
    """The folder of the tables and the plots; by default runs/search-TIME."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Go on with the searches in --out that are not finished."""
    results: Path = Path("experiments/results/search.json")
    """The file of the numbers."""


def network(hparams: dict[str, jax.Array]) -> Layer:
    """One hidden layer, of whose 256 units the first `width` are used."""
    width = hparams["width"]

    def narrow(x: jax.Array) -> jax.Array:
        return jnp.where(jnp.arange(WIDEST) < width, x, 0)

    def init(key: jax.Array, shape: Sequence[int], dtype: Any) -> jax.Array:
        return lecun_normal()(key, shape, dtype) * jnp.sqrt(WIDEST / width)

    return serial(
        scale_pixels(),
        flatten,
        ("fc1", dense(WIDEST)),
        relu,
        narrow,
        ("drop", dropout(hparams["dropout_rate"])),
        ("head", dense(10, kernel_init=init)),
    )


def train_step(hparams: Hparams) -> TrainStep:
    """The network's step by Adam."""
    return make_train_step(
        network(hparams),
        optax.adam(hparams["learning_rate"]),
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.accuracy},
    )


def search(config: Config, mnist: Dataset, seed: int) -> dict[str, Any]:
    """Both searches from one seed, and what the two settings they chose do on the test images."""
    rest, validation = data.train_test_split(mnist.train, config.validation, seed=seed)
    _, train = data.train_test_split(rest, config.images, seed=seed)
    key, steps = jax.random.key(seed), config.images // config.batch_size
    problem = Problem(train_step, train, validation, config.batch_size, "accuracy", False)
    shared = {"key": key, "epochs": config.units}
    searches = {
        "random": partial(random_search, trials=config.trials, **shared),
        "hyperband": partial(hyperband, eta=3, **shared),
    }
    found = {}
    for name, run in searches.items():
        results = run(problem, SPACE, path=config.out / f"{name}-{seed}.jsonl")
        draw(config, results, f"{name}-{seed}")
        state = retrain(problem, results.best, key=key).train_state
        test = evaluate(train_step, state, mnist.test, hparams=results.best.setting)
        found[name] = {
            "setting": results.best.setting,
            "validation_accuracy": results.best.score,
            "test_accuracy": test["accuracy"],
            "settings": len(results.trials),
            "updates": results.epochs * steps,
            "validation_accuracies": [trial.score for trial in results.trials],
        }
        print(
            f"seed {seed}, {name}: {len(results.trials)} settings, {results.epochs * steps:,} "
            f"updates, validation accuracy {results.best.score:.2%}, test {test['accuracy']:.2%}",
            flush=True,
        )
    return found


def draw(config: Config, results: Results, name: str) -> None:
    """Both plots of a search."""
    title = f"{name}: {len(results.trials)} settings of an MLP on MNIST"
    write_figure(config.out / f"{name}-scores.png", scores(results, title))
    write_figure(config.out / f"{name}-parallel.png", parallel_coordinates(results, title))


def verdict(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """How far Hyperband ends from random search, seed by seed, and at what share of its cost."""

    def differences(name: str) -> dict[str, Any]:
        pairs = [run["hyperband"][name] - run["random"][name] for run in runs]
        return spread(np.array(pairs))._asdict()

    share = np.mean([run["hyperband"]["updates"] / run["random"]["updates"] for run in runs])
    validation = differences("validation_accuracy")
    return {
        "hyperband_minus_random": {
            "validation_accuracy": validation,
            "test_accuracy": differences("test_accuracy"),
        },
        "share_of_updates": float(share),
        "holds": bool(validation["mean"] >= -WITHIN and share <= 0.5),
    }


def experiment(config: Config) -> dict[str, Any]:
    """Search with every seed, compare, and write it down."""
    mnist = data.load("mnist", data_dir=config.data_dir)
    folder, _ = begin("search", config, mnist)
    config = replace(config, out=folder)
    runs = [search(config, mnist, seed) for seed in range(config.seeds)]
    result = {
        "unit": f"an epoch over {config.images} images, {config.images // config.batch_size} "
        f"updates of {config.batch_size}",
        **{name: value for name, value in asdict(config).items() if isinstance(value, int)},
        **verdict(runs),
        "runs": runs,
        **machine(),
    }
    config.results.parent.mkdir(parents=True, exist_ok=True)
    write_json(config.results, result)
    difference = result["hyperband_minus_random"]
    print(
        f"Hyperband minus random search, over {config.seeds} seeds, in accuracy\n"
        f"  validation: mean {difference['validation_accuracy']['mean']:+.4f}\n"
        f"  test:       mean {difference['test_accuracy']['mean']:+.4f}\n"
        f"at {result['share_of_updates']:.1%} of its updates; within {WITHIN} and half: "
        f"{'yes' if result['holds'] else 'no'}\n{config.results}; tables and plots in {config.out}"
    )
    return result


if __name__ == "__main__":
    common.main(experiment, Config)
