"""What watching for losses that are not finite costs: "stop" and "skip" beside "ignore".

python -m experiments.bench.nonfinite
"""

import os
import platform
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import common
from experiments.bench.import_time import quartiles
from experiments.folder import write_json
from jaxnets import data, losses, models, scale_pixels, serial
from jaxnets.training import fit, make_train_step


@dataclass(frozen=True)
class Config:
    """What watching for losses that are not finite costs."""

    repeats: int = 10
    """Rounds, each of one run of the three."""
    epochs: int = 5
    """Epochs of MNIST a run."""
    out: Path = Path("experiments/results/nonfinite.json")
    """The JSON file to write."""


def main(config: Config) -> None:
    """Time the three in turn, and write medians and quartiles of the seconds and of the ratios."""
    mnist = data.load("mnist")
    train = (jnp.asarray(mnist.train.x), jnp.asarray(mnist.train.y))
    model = serial(scale_pixels(), ("net", models.mlp((500, 300, 10))))
    train_step = make_train_step(model, optax.adam(1e-3), losses.softmax_cross_entropy)
    run = partial(
        fit, train_step, train, key=jax.random.key(0), epochs=config.epochs, batch_size=128
    )
    times = {choice: [] for choice in ("ignore", "stop", "skip")}
    for number in range(config.repeats + 1):  # the first round compiles, and is not counted
        for choice, seconds in times.items():
            seconds.append(run(on_nonfinite=choice).train_seconds)
            del seconds[: number == 0]
    ratios = {c: quartiles(np.divide(times[c], times["ignore"])) for c in ("stop", "skip")}
    result = {
        "network": "784-500-300-10, batch 128, Adam",
        "repeats": config.repeats,
        "seconds": {choice: quartiles(np.array(seconds)) for choice, seconds in times.items()},
        "ratio_to_ignore": ratios,
        "hardware": f"{jax.devices()[0].device_kind}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "jax": jax.__version__,
    }
    config.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(config.out, result)
    for choice, (low, middle, high) in ratios.items():
        print(f"{choice} / ignore: {middle:.3f} (quartiles {low:.3f} to {high:.3f})")


if __name__ == "__main__":
    common.main(main, Config, keep_compiled=False)
