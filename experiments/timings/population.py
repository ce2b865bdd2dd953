"""Sixty-four networks 784-32-10 in one program, compared with the same 64 one after another.

python -m experiments.timings.population
python -m experiments.timings.population --out experiments/results/population.json

The methods take turns in one process. In every round each gets a new train step, so that it
compiles again; times are reported with and without compilation. Then measures the members trained
per second for populations of 1, 4, 16, ..., 4096, up to `--members`. The first round fills caches
and is not counted.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import command_line, study
from experiments.runner import seed_keys
from experiments.timings import turns
from experiments.timings.turns import in_turn, quartiles
from jaxnets import data
from jaxnets.data import Split
from jaxnets.training import TrainStep, fit
from jaxnets.training.population import fit_population
from jaxnets.training.train_step import Hparams


@dataclass(frozen=True)
class Config(turns.Config):
    """Populations against the same networks one after another, and speed by population size."""

    networks: int = 64
    """Networks that every method trains."""
    rounds: int = 5
    """Rounds that are counted."""
    members: int = 4096
    """The largest size in the timing by population size: 1, 4, 16, ... up to 4096."""
    examples: int = 12_800
    """Training digits; each network is trained on all of them once."""
    batch_size: int = 128
    """Examples per step."""
    data_dir: Path | None = None
    """A folder with MNIST's IDX files, instead of those in the package."""


class Timing(NamedTuple):
    """The seconds of one method in one round, for its updates and in total; its strategy."""

    updates: float
    everything: float
    strategy: str


def one_after_another(config: Config, train: Split) -> Timing:
    """`fit` for each network; only the first compiles."""
    train_step, began, updates = new_train_step(), time.perf_counter(), 0.0
    for i in range(config.networks):
        fitted = fit(
            train_step,
            train,
            key=jax.random.key(i),
            epochs=1,
            batch_size=config.batch_size,
            hparams={"learning_rate": 0.1},
        )
        updates += fitted.train_seconds
    return Timing(updates, time.perf_counter() - began, "fit")


def population(config: Config, train: Split, n: int, **options: Any) -> Timing:
    """`fit_population` of n networks."""
    train_step, keys, began = new_train_step(), seed_keys(0, n), time.perf_counter()
    fitted = fit_population(
        train_step,
        train,
        keys=keys,
        epochs=1,
        batch_size=config.batch_size,
        hparams={"learning_rate": jnp.full(n, 0.1)},
        **options,
    )
    return Timing(fitted.train_seconds, time.perf_counter() - began, fitted.strategy)


def new_train_step() -> Callable[[Hparams], TrainStep]:
    """A step of 784-32-10 by plain gradient descent, for which no program is compiled yet."""
    model = study.classifier(32, 10)
    return lambda hparams: study.train_step(model, optax.sgd(hparams["learning_rate"]))


def compare(config: Config, train: Split) -> dict[str, Any]:
    """The seconds of each method, and its speedup over training one after another."""
    n, sequential = config.networks, "one after another"
    methods = {
        sequential: lambda: one_after_another(config, train),
        "population, shared batches": lambda: population(config, train, n, share_batches=True),
        "population, own batches": lambda: population(config, train, n),
    }
    times, results = in_turn(methods, config.rounds), {}
    for name, rounds in times.items():
        results[name] = {"strategies": [timing.strategy for timing in rounds]}
        for part in ("updates", "everything"):
            seconds, before = (
                np.array([getattr(timing, part) for timing in times[method]])
                for method in (name, sequential)
            )
            results[name][part] = {
                "seconds": quartiles(seconds),
                "times faster": quartiles(before / seconds),
            }
    return results


def by_size(config: Config, train: Split) -> dict[str, dict[str, Any]]:
    """Members trained per second of updates, by the size of the population."""
    sizes = [n for n in 4 ** np.arange(7) if n <= config.members]
    results = {}
    for n in map(int, sizes):
        measure = partial(population, config, train, n, share_batches=True)
        rounds = in_turn({n: measure}, config.rounds)[n]
        speed = quartiles([n / timing.updates for timing in rounds])
        results[str(n)] = {
            "members per second": speed,
            "strategies": [timing.strategy for timing in rounds],
        }
        print(
            f"{n:5} members: {speed.median:8.1f} per second ({speed.low:.1f} to {speed.high:.1f})"
        )
    return results


def main(config: Config) -> None:
    """Time all methods, print and write the result."""
    mnist = data.load("mnist", data_dir=config.data_dir)
    train = Split(*(part[: config.examples] for part in mnist.train))
    methods = compare(config, train)
    for name, timings in methods.items():
        for part in ("updates", "everything"):
            (low, median, high), faster = timings[part]["seconds"], timings[part]["times faster"]
            print(
                f"{name}, {part}: {median:.2f} s ({low:.2f} to {high:.2f}), "
                f"{faster[1]:.2f} times as fast ({faster[0]:.2f} to {faster[2]:.2f})"
            )
    result = {
        "network": "784-32-10, plain gradient descent",
        "networks": config.networks,
        "updates": len(train.x) // config.batch_size,
        "batch_size": config.batch_size,
        "rounds": config.rounds,
        "quartiles of the rounds": methods,
        "by size, shared batches": by_size(config, train),
    }
    turns.write("population", config.out, result)


if __name__ == "__main__":
    command_line.main(main, Config, keep_compiled=False)
