"""The time of a model's first `init` in a process, compared with `jax.jit(model.init)`.

python -m experiments.timings.initial_values
python -m experiments.timings.initial_values --out experiments/results/initial_values.json

Each measurement is a fresh process without compiled programs on disk. The seconds are those of one
call, from tracing to the values, after JAX has started; both give the same bits.
"""

import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import numpy as np

from experiments import command_line
from experiments.timings import turns
from experiments.timings.turns import in_turn, quartiles

Model = Literal["mlp", "resnet20", "resnet50", "vgg16", "mobilenet_v2"]
WAYS = {"init": "model.init", "under jit": "jax.jit(model.init)"}
CODE = """
import time, jax, jax.numpy as jnp
from jaxnets import dense, flatten, models, serial

def mlp():
    return serial(flatten, *[(f"fc{{units}}", dense(units)) for units in (500, 300, 10)])

model, key = {model}(), jax.random.key(0)
x = jnp.zeros({shape})
began = time.perf_counter()
jax.block_until_ready({way}(key, x))
print(time.perf_counter() - began)
"""


@dataclass(frozen=True)
class Config(turns.Config):
    """The time of a model's first `init`, compared with `jax.jit(model.init)`."""

    models: tuple[Model, ...] = get_args(Model)
    """The models to time."""
    repeats: int = 5
    """Pairs of processes per model, one with `init` and one under jit, alternately."""


def main(config: Config) -> None:
    """Time both calls for each model, and write quartiles of the seconds and of the ratio."""
    rows = {}
    for name in config.models:
        ways = {way: partial(first_call, name, code) for way, code in WAYS.items()}
        seconds = in_turn(ways, config.repeats, warm_up=False)
        ratio = quartiles(np.divide(seconds["init"], seconds["under jit"]))
        rows[name] = {way: quartiles(values) for way, values in seconds.items()} | {"ratio": ratio}
        print(
            f"{name}: init {np.median(seconds['init']):.2f} s, {ratio.median:.3f} of that under jit"
        )
    turns.write("initial_values", config.out, {"repeats": config.repeats, "seconds": rows})


def first_call(name: str, way: str) -> float:
    """The seconds of the first call in a fresh process."""
    model = name if name == "mlp" else f"models.{name}"
    shape = {"mlp": (1, 28, 28, 1), "resnet20": (1, 32, 32, 3)}.get(name, (1, 224, 224, 3))
    code = CODE.format(model=model, shape=shape, way=way)
    # In a new session, so that Ctrl-C leaves no traceback of the child.
    options = {"capture_output": True, "text": True, "check": True, "start_new_session": True}
    return float(subprocess.run([sys.executable, "-c", code], **options).stdout)


if __name__ == "__main__":
    command_line.main(main, Config, keep_compiled=False)
