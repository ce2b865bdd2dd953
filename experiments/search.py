"""Hyperband against random search: the cost of finding a good setting.

python -m experiments.search

Both search the learning rate, the width and the dropout rate of an MLP with one hidden layer on
MNIST. The unit of training is one epoch over 10,000 of the training images, 78 updates with batch
size 128. Settings are compared only on another 10,000 images, the validation split. Random search
trains 64 settings for all 27 units; Hyperband (eta 3) starts 49 of the same settings, and stops
most of them early. For each seed, both use the same splits, settings and initial weights. At the
end, both best settings are trained again, and evaluated once on the test images.

result.json has every score; experiments/results/search.json is an example. Takes about 10 minutes
on two CPU cores.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.nn import relu
from jax.nn.initializers import lecun_normal
from matplotlib.figure import Figure

from experiments import command_line, configs, runner
from experiments.folder import machine, write_figure
from jaxnets import Layer, data, dense, dropout, flatten, losses, metrics, scale_pixels, serial
from jaxnets.training import TrainStep, console, evaluate, make_train_step
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
TITLES = {"random": "Random search", "hyperband": "Hyperband"}
WITHIN = 0.002  # accuracy by which Hyperband may be worse


@dataclass(frozen=True)
class Config(configs.Config):
    """Hyperband against random search, on MNIST."""

    seeds: int = 5
    """Repetitions of both searches, each with other splits, settings and weights."""
    units: int = 27
    """Units of training for a setting that is not stopped early."""
    trials: int = 64
    """Number of settings that random search trains, each for all units."""
    images: int = 10_000
    """Training images; an epoch over them is the unit."""
    validation: int = 10_000
    """Validation images, on which settings are compared."""
    batch_size: int = 128
    """Examples per step."""
    resume: configs.Flag = False
    """Continue the unfinished searches in --out."""


def network(hparams: dict[str, jax.Array]) -> Layer:
    """One hidden layer of 256 units, of which the first `width` are used."""
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
    """A step of the network by Adam."""
    return make_train_step(
        network(hparams),
        optax.adam(hparams["learning_rate"]),
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.accuracy},
    )


def search(
    run: runner.Run, config: Config, seed: int, figures: dict[str, Figure]
) -> dict[str, Any]:
    """Both searches with one seed, and the test accuracies of the best setting of each.

    The plots of seed 0 are added to `figures`.
    """
    mnist = run.dataset
    rest, validation = data.train_test_split(mnist.train, config.validation, seed=seed)
    _, train = data.train_test_split(rest, config.images, seed=seed)
    key, steps = jax.random.key(seed), config.images // config.batch_size
    problem = Problem(train_step, train, validation, config.batch_size, "accuracy", False)
    options = {"key": key, "epochs": config.units}
    searches = {
        "random": partial(random_search, trials=config.trials, **options),
        "hyperband": partial(hyperband, eta=3, **options),
    }
    outcomes = {}
    for name, run_search in searches.items():
        with console() as shown:
            path = run.folder / f"{name}-{seed}.jsonl"
            results = run_search(problem, SPACE, path=path, report=shown)
        drawn = draw(run, results, f"{name}-{seed}", f"{TITLES[name]}, seed {seed}")
        figures.update(drawn if seed == 0 else {})  # more would not fit into the report
        state = retrain(problem, results.best, key=key).train_state
        test = evaluate(train_step, state, mnist.test, hparams=results.best.setting)
        outcomes[name] = {
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
    return outcomes


def draw(run: runner.Run, results: Results, name: str, title: str) -> dict[str, Figure]:
    """Write both plots of a search, and return them by name."""
    title = f"{title}: {len(results.trials)} settings of an MLP on MNIST"
    figures = {
        f"{name}-scores": scores(results, title),
        f"{name}-parallel": parallel_coordinates(results, title),
    }
    for file, figure in figures.items():
        write_figure(run.folder / f"{file}.png", figure)
    return figures


def compare(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Hyperband minus random search, paired by seed, and its share of the cost."""

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
    """Search with every seed, compare, and write the result."""
    mnist = data.load("mnist", data_dir=config.data_dir)
    run = runner.Run("search", config, mnist)
    figures: dict[str, Figure] = {}
    runs = [search(run, config, seed, figures) for seed in range(config.seeds)]
    result = {
        "unit": f"an epoch over {config.images} images, {config.images // config.batch_size} "
        f"updates of {config.batch_size}",
        **{name: value for name, value in asdict(config).items() if type(value) is int},
        **compare(runs),
        "runs": runs,
        **machine(),
    }
    difference = result["hyperband_minus_random"]
    print(
        f"Hyperband minus random search, over {config.seeds} seeds, in accuracy\n"
        f"  validation: mean {difference['validation_accuracy']['mean']:+.4f}\n"
        f"  test:       mean {difference['test_accuracy']['mean']:+.4f}\n"
        f"with {result['share_of_updates']:.1%} of random search's updates\n"
        f"at most {WITHIN} worse with at most half of these: {'yes' if result['holds'] else 'no'}"
    )
    run.write(result, figures)
    return result


if __name__ == "__main__":
    command_line.main(experiment, Config)
