"""The overhead of a sharding plan: CPU time per step, compared with a run without a plan.

python -m experiments.timings.sharding
python -m experiments.timings.sharding --out experiments/results/sharding.json

Trains `experiments.mnist_mlp`'s network by SGD with momentum on the same batches of 512 random
images: without a plan; with a plan of one device; and data parallel over two virtual devices of the
CPU, which do the work of one and exchange their gradients. They take turns, and each round gives
the ratios of CPU times. `LIMIT` is the largest ratio that is allowed. About a minute on one core;
pin it (`taskset -c 0`): on several cores, devices that wait for each other use CPU time, too.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
import optax

from experiments import command_line, mnist_mlp
from experiments.timings import turns
from experiments.timings.turns import in_turn, ratio, summary
from jaxnets import losses
from jaxnets.training import ShardingPlan, advance, make_train_step, start_run

LIMIT = 1.15
PLANS = {
    "no plan": None,
    "one device": ShardingPlan({"batch": 1}),
    "two devices": ShardingPlan({"batch": 2}),
}


@dataclass(frozen=True)
class Config(turns.Config):
    """The overhead of a sharding plan, in CPU time."""

    rounds: int = 9
    """Rounds that are counted."""
    steps: int = 40
    """Steps per turn."""
    batch_size: int = 512
    """Examples per step."""


def steps_of(plan: ShardingPlan | None, config: Config) -> Callable[[], float]:
    """A function that trains a turn's steps and returns the CPU milliseconds per step."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4 * config.batch_size, 28, 28, 1), np.uint8)
    data = pixels, rng.integers(0, 10, len(pixels))
    optimizer = optax.sgd(0.01, momentum=0.9)
    step = make_train_step(mnist_mlp.model, optimizer, losses.softmax_cross_entropy)
    options = {"batch_size": config.batch_size, "sharding": plan}
    run = start_run(step, data, key=jax.random.key(0), **options)

    def turn() -> float:
        nonlocal run
        began = time.process_time()
        run, _ = advance(run, run.step + config.steps)
        return 1000 * (time.process_time() - began) / config.steps

    return turn


def main(config: Config) -> None:
    """Measure the plans, which take turns; write the ratios, and exit with 1 if one is too big."""
    measured = in_turn({n: steps_of(plan, config) for n, plan in PLANS.items()}, config.rounds)
    plain = measured["no plan"]
    overheads = {name: ratio(times, plain) for name, times in measured.items() if times != plain}
    for name, overhead in overheads.items():
        low, median, high = (overhead[key] for key in ("low", "median", "high"))
        print(f"{name:12} {median:.3f} times the time without a plan ({low:.3f} to {high:.3f})")
    times = {name: summary(values) for name, values in measured.items()}
    result = {"CPU milliseconds per step": times, "relative to no plan": overheads}
    turns.write("sharding", config.out, result | {"limit": LIMIT})
    sys.exit(1 if max(overhead["median"] for overhead in overheads.values()) > LIMIT else 0)


if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", 2)  # before anything asks for the devices
    command_line.main(main, Config, keep_compiled=False)
