"""A training step with XLA's own choice of matmuls beside one with Eigen's alone, by widths.

python -m experiments.bench.matmuls --out experiments/results/matmuls.json

Each network trains on MNIST in compiled chunks, by Adam. The two programs take turns; the first
round is not counted. What `jaxnets.lowering.matmul` chooses rests on this: its `COLUMNS` divides
the widths for which Eigen is slower.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import optax

from experiments import common
from experiments.bench.spread import ratio, spread
from experiments.bench.ways import in_turn, told, write
from jaxnets import data, losses, models, scale_pixels, serial
from jaxnets.lowering import matmul
from jaxnets.training import make_train_step, start_run
from jaxnets.training.chunk import make_chunk

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
    model = serial(scale_pixels(), ("net", models.mlp((*hidden, 10))))
    train_step = make_train_step(model, optax.adam(1e-3), losses.softmax_cross_entropy)
    run = start_run(train_step, train, key=jax.random.key(0), batch_size=config.batch_size)
    loop, train_state, step = run.loop, run.train_state, 0
    arrays, _ = loop.source.read(0, 0)
    chunk = make_chunk(lambda: train_step, loop.runner, loop.source.reader, False, ())
    program = jax.jit(chunk, donate_argnums=0, compiler_options=options)

    def train_on() -> None:
        nonlocal train_state, step
        bounds = (step, step + config.steps)
        given = loop.arguments(train_state, run.sums, None, arrays, *bounds)
        train_state, *_ = jax.block_until_ready(program(*given))
        step += config.steps

    return train_on


def compared(config: Config, hidden: tuple[int, ...]) -> dict[str, Any]:
    """Milliseconds a step of each way, the ways in turn."""
    ways = {"XLA's choice": {}, "Eigen alone": matmul.EIGEN}
    trainers = {way: trainer(config, hidden, options) for way, options in ways.items()}
    taken = in_turn(trainers, rounds=config.rounds, times=config.steps)
    return {
        "hidden": hidden,
        "milliseconds": {way: spread(values) for way, values in taken.items()},
        "Eigen times faster": ratio(*taken.values()),
    }


def main(config: Config) -> None:
    """Time all widths, print a line each, and write them where `out` says."""
    found = []
    for hidden in HIDDEN:
        one = compared(config, hidden)
        faster = one["Eigen times faster"]["median"]
        print(f"hidden {hidden}: {told(one['milliseconds'])}, {faster:.2f} times", flush=True)
        found.append(one)
    write(config.out, {"batch_size": config.batch_size, "networks": found})


if __name__ == "__main__":
    common.main(main, Config, keep_compiled=False)
