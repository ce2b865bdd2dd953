"""Sixty-four networks 784-32-10 in one program beside the same 64 one after another.

python -m experiments.bench.population --out experiments/results/population.json

The ways take turns in one process. In every round each is made anew, so that it compiles anew, and
its seconds are told with and without that. Then the members trained in a second, from one member to
`--members`. The first round fills caches and is not counted.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import common, study
from experiments.bench.import_time import quartiles
from experiments.folder import machine, write_json
from experiments.population import seed_keys
from jaxnets import data
from jaxnets.data import Split
from jaxnets.training import TrainStep, fit
from jaxnets.training.population import fit_population
from jaxnets.training.train_step import Hparams


@dataclass(frozen=True)
class Config:
    """Populations beside the same networks one after another, and their speed by their size."""

    networks: int = 64
    """Networks that both ways train."""
    rounds: int = 5
    """Rounds that are counted, of every way in turn."""
    members: int = 4096
    """The largest population of the curve, which goes from 1 in powers of 4."""
    examples: int = 12_800
    """Training digits, of which each network sees every one once."""
    batch_size: int = 128
    """Examples a step."""
    data_dir: Path | None = None
    """A folder with MNIST's IDX files, instead of those found by themselves."""
    out: Path | None = None
    """The JSON file to write, if any."""


class Timed(NamedTuple):
    """Seconds of one way in one round, of its updates alone and of everything; its strategy."""

    updates: float
    everything: float
    strategy: str


def one_after_another(config: Config, train: Split) -> Timed:
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
    return Timed(updates, time.perf_counter() - began, "fit")


def population(config: Config, train: Split, n: int, **options: Any) -> Timed:
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
    return Timed(fitted.train_seconds, time.perf_counter() - began, fitted.strategy)


def new_train_step() -> Callable[[Hparams], TrainStep]:
    """A step of 784-32-10 by plain gradient descent that nothing has been compiled for."""
    model = study.classifier(32, 10)
    return lambda hparams: study.train_step(model, optax.sgd(hparams["learning_rate"]))


def in_turn(ways: dict[Any, Callable[[], Timed]], rounds: int) -> dict[Any, list[Timed]]:
    """Every way once a round, A/B/C/A/B/C; without the first round, which fills caches."""
    times: dict[Any, list[Timed]] = {name: [] for name in ways}
    for counted in (False, *[True] * rounds):
        for name, way in ways.items():
            found = way()
            if counted:
                times[name].append(found)
    return times


def compared(config: Config, train: Split) -> dict[str, Any]:
    """Seconds of each way, and how many times faster than one after another it is."""
    n, alone = config.networks, "one after another"
    ways = {
        alone: lambda: one_after_another(config, train),
        "population, shared batches": lambda: population(config, train, n, share_batches=True),
        "population, own batches": lambda: population(config, train, n),
    }
    times, found = in_turn(ways, config.rounds), {}
    for name, rounds in times.items():
        found[name] = {"strategies": [timed.strategy for timed in rounds]}
        for part in ("updates", "everything"):
            seconds, before = (
                np.array([getattr(timed, part) for timed in times[way]]) for way in (name, alone)
            )
            found[name][part] = {
                "seconds": quartiles(seconds),
                "times faster": quartiles(before / seconds),
            }
    return found


def by_size(config: Config, train: Split) -> dict[str, dict[str, Any]]:
    """Members trained in a second, their updates alone, by the size of the population."""
    sizes = [n for n in 4 ** np.arange(7) if n <= config.members]
    ways = {
        int(n): lambda n=int(n): population(config, train, n, share_batches=True) for n in sizes
    }
    found = {}
    for n, way in ways.items():
        rounds = in_turn({n: way}, config.rounds)[n]
        speed = quartiles(np.array([n / timed.updates for timed in rounds]))
        found[str(n)] = {
            "members per second": speed,
            "strategies": [timed.strategy for timed in rounds],
        }
        print(f"{n:5} members: {speed[1]:8.1f} a second ({speed[0]:.1f} to {speed[2]:.1f})")
    return found


def main(config: Config) -> None:
    """Time all ways, print what was found, and write it where `out` says."""
    mnist = data.load("mnist", data_dir=config.data_dir)
    train = Split(*(part[: config.examples] for part in mnist.train))
    ways = compared(config, train)
    for name, found in ways.items():
        for part in ("updates", "everything"):
            (low, middle, high), faster = found[part]["seconds"], found[part]["times faster"]
            print(
                f"{name}, {part}: {middle:.2f} s ({low:.2f} to {high:.2f}), "
                f"{faster[1]:.2f} times faster ({faster[0]:.2f} to {faster[2]:.2f})"
            )
    result = {
        "network": "784-32-10, plain gradient descent",
        "networks": config.networks,
        "updates": len(train.x) // config.batch_size,
        "batch_size": config.batch_size,
        "rounds": config.rounds,
        "quartiles of the rounds": ways,
        "by size, shared batches": by_size(config, train),
        **machine(),
    }
    if config.out is not None:
        config.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(config.out, result)


if __name__ == "__main__":
    common.main(main, Config, keep_compiled=False)
