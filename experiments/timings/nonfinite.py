"""The cost of checking for losses that are not finite: "stop" and "skip" against "ignore".

python -m experiments.timings.nonfinite
python -m experiments.timings.nonfinite --repeats 8 --out experiments/results/nonfinite.json
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import command_line
from experiments.timings import turns
from experiments.timings.turns import in_turn, quartiles
from jaxnets import data, losses, models, scale_pixels, serial
from jaxnets.training import fit, make_train_step


@dataclass(frozen=True)
class Config(turns.Config):
    """The cost of checking for losses that are not finite."""

    repeats: int = 10
    """Number of rounds, each with one run of each of the three."""
    epochs: int = 5
    """Epochs of MNIST per run."""


def main(config: Config) -> None:
    """Time the three, which take turns, and write quartiles of the seconds and of the ratios."""
    mnist = data.load("mnist")
    train = (jnp.asarray(mnist.train.x), jnp.asarray(mnist.train.y))
    model = serial(scale_pixels(), ("net", models.mlp((500, 300, 10))))
    train_step = make_train_step(model, optax.adam(1e-3), losses.softmax_cross_entropy)

    def train_seconds(on_nonfinite: Any) -> float:
        result = fit(
            train_step,
            train,
            key=jax.random.key(0),
            epochs=config.epochs,
            batch_size=128,
            on_nonfinite=on_nonfinite,
        )
        return result.train_seconds

    choices = ("ignore", "stop", "skip")
    times = in_turn({name: partial(train_seconds, name) for name in choices}, config.repeats)
    ratios = {c: quartiles(np.divide(times[c], times["ignore"])) for c in ("stop", "skip")}
    result = {
        "network": "784-500-300-10, batch 128, Adam",
        "repeats": config.repeats,
        "seconds": {name: quartiles(values) for name, values in times.items()},
        "ratio_to_ignore": ratios,
    }
    turns.write("nonfinite", config.out, result)
    for name, (low, median, high) in ratios.items():
        print(f"{name} / ignore: {median:.3f} (quartiles {low:.3f} to {high:.3f})")


if __name__ == "__main__":
    command_line.main(main, Config, keep_compiled=False)
