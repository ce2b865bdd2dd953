"""A training step with XLA's own choice of matmuls beside one with Eigen's alone, by widths.

python -m experiments.bench.matmuls --out experiments/results/matmuls.json

Each network trains on MNIST in compiled chunks, by Adam. The two programs take turns; the first
round is not counted. What `jaxnets.lowering.matmul` chooses rests on this: its `COLUMNS` divides
the widths for which Eigen is slower.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
import tyro

from experiments.bench.spread import ratio, spread
from experiments.folder import machine
from jaxnets import data, losses, models, scale_pixels, serial
from jaxnets.lowering import matmul
from jaxnets.training import make_update
from jaxnets.training.chunk import run_chunk

HIDDEN = [(width, width) for width in (100, 128, 200, 256, 300, 384, 400, 512, 520, 640, 700, 768)]
HIDDEN += [(500, 300), (1000, 1000)]


@dataclass(frozen=True)
class Config:
    """Matmuls by YNNPACK and Eigen beside Eigen alone."""

    batch_size: int = 128
    """Images a step."""
    steps: int = 200
    """Steps a round."""
    rounds: int = 5
    """Rounds that are counted."""
    data_dir: Path | None = None
    """A folder with MNIST's IDX files, instead of those found by themselves."""
    out: Path | None = None
    """The JSON file to write, if any."""


def trainer(
    config: Config, hidden: tuple[int, ...], options: dict[str, str | bool]
) -> Callable[[], None]:
    """A network that trains for a round when called, compiled with these options."""
    train = data.load("mnist", data_dir=config.data_dir).train
    arrays = jnp.asarray(train.x), jnp.asarray(train.y)
    model = serial(scale_pixels(), ("net", models.mlp((*hidden, 10))))
    update = make_update(model, optax.adam(1e-3), losses.softmax_cross_entropy)
    state = update.init(jax.random.key(0), arrays[0][:1])
    sizes = {"batch_size": config.batch_size, "remainder": "drop", "capacity": config.steps}
    run = jax.jit(partial(run_chunk, update, **sizes), donate_argnums=0, compiler_options=options)

    def train_on() -> None:
        nonlocal state
        state, _, _ = jax.block_until_ready(run(state, arrays, None, state.step + config.steps))

    return train_on


def compared(config: Config, hidden: tuple[int, ...]) -> dict[str, Any]:
    """Milliseconds a step of each way, the ways in turn."""
    ways = {"XLA's choice": {}, "Eigen alone": matmul.EIGEN}
    trainers = {way: trainer(config, hidden, options) for way, options in ways.items()}
    times: dict[str, list[float]] = {way: [] for way in ways}
    for round_number in range(1 + config.rounds):
        for way, train in trainers.items():
            began = time.perf_counter()
            train()
            if round_number > 0:
                times[way].append(1000 * (time.perf_counter() - began) / config.steps)
    return {
        "hidden": hidden,
        "milliseconds": {way: spread(taken) for way, taken in times.items()},
        "Eigen times faster": ratio(*times.values()),
    }


def main(config: Config) -> None:
    """Time all widths, print a line each, and write them where `out` says."""
    found = []
    for hidden in HIDDEN:
        one = compared(config, hidden)
        medians = {way: taken["median"] for way, taken in one["milliseconds"].items()}
        told = ", ".join(f"{way} {ms:.3f} ms" for way, ms in medians.items())
        faster = one["Eigen times faster"]["median"]
        print(f"hidden {hidden}: {told}, {faster:.2f} times faster", flush=True)
        found.append(one)
    result = {"batch_size": config.batch_size, "networks": found, **machine()}
    if config.out is not None:
        config.out.parent.mkdir(parents=True, exist_ok=True)
        config.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
