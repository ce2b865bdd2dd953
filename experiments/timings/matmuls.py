"""Training steps with XLA's choice of matmul libraries and with Eigen alone, by layer width.

python -m experiments.timings.matmuls
python -m experiments.timings.matmuls --out experiments/results/matmuls.json

Each network trains on MNIST in compiled chunks, with Adam. The two programs take turns; the first
round is not counted. This is the basis of the choice in `jaxnets.lowering.matmul`: Eigen is slower
for widths that are multiples of `COLUMNS`, from 256 on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import optax

from experiments import command_line
from experiments.timings import turns
from experiments.timings.turns import describe, in_turn, ratio, seconds, summary
from jaxnets import data, losses, models, scale_pixels, serial
from jaxnets.lowering import matmul
from jaxnets.training import make_train_step, start_run
from jaxnets.training.chunk import make_chunk

HIDDEN = [(width, width) for width in (100, 128, 200, 256, 300, 384, 400, 512, 520, 640, 700, 768)]
HIDDEN += [(500, 300), (1000, 1000)]


@dataclass(frozen=True)
class Config(turns.Config):
    """Matmuls by YNNPACK and Eigen, compared with Eigen alone."""

    batch_size: int = 128
    """Images per step."""
    steps: int = 200
    """Steps per round."""
    rounds: int = 5
    """Rounds that are counted."""
    data_dir: Path | None = None
    """A folder with MNIST's IDX files, instead of those in the package."""


def trainer(
    config: Config, hidden: tuple[int, ...], options: dict[str, str | bool]
) -> Callable[[], None]:
    """A function that trains a network for a round, compiled with these options."""
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
        arguments = loop.arguments(train_state, run.sums, None, arrays, *bounds)
        train_state, *_ = jax.block_until_ready(program(*arguments))
        step += config.steps

    return train_on


def compare(config: Config, hidden: tuple[int, ...]) -> dict[str, Any]:
    """Milliseconds per step with each choice; the two take turns."""
    choices = {"XLA's choice": {}, "Eigen alone": matmul.EIGEN}
    trainers = {name: trainer(config, hidden, options) for name, options in choices.items()}
    times = in_turn({name: partial(seconds, run) for name, run in trainers.items()}, config.rounds)
    milliseconds = {n: [1000 * s / config.steps for s in values] for n, values in times.items()}
    return {
        "hidden": hidden,
        "milliseconds": {name: summary(values) for name, values in milliseconds.items()},
        "Eigen times faster": ratio(*times.values()),
    }


def main(config: Config) -> None:
    """Time all widths, print a line for each, and write the result."""
    networks = []
    for hidden in HIDDEN:
        times = compare(config, hidden)
        faster = times["Eigen times faster"]["median"]
        print(
            f"hidden {hidden}: {describe(times['milliseconds'])}, Eigen {faster:.2f} times as fast",
            flush=True,
        )
        networks.append(times)
    turns.write("matmuls", config.out, {"batch_size": config.batch_size, "networks": networks})


if __name__ == "__main__":
    command_line.main(main, Config, keep_compiled=False)
