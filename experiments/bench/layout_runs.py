"""A model trained under its layouts of the devices at hand, each compared with one device.

`python -m experiments.bench.layouts` runs this module once per model and precision, in a process
with eight virtual devices, and once more as two processes of four.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.nn import relu
from jax.sharding import PartitionSpec

from experiments.bench.topologies import collectives
from experiments.distributed import initialize
from jaxnets import (
    Layer,
    batch_norm,
    conv,
    dense,
    dropout,
    flatten,
    losses,
    max_pool,
    models,
    serial,
)
from jaxnets.sharding import to_host
from jaxnets.training import Run, ShardingPlan, advance, make_train_step, start_run
from jaxnets.training.population import start_population
from jaxnets.trees import flatten_names, unflatten_names

STEPS, BATCH_SIZE, CLASSES, MEMBERS = 12, 16, 8, 8
COLUMNS, ROWS = PartitionSpec(None, "model"), PartitionSpec("model", None)
FILTERS, CHANNELS = (
    PartitionSpec(None, None, None, "model"),
    PartitionSpec(None, None, "model"),
)


def mlp() -> Layer:
    """Two hidden layers with dropout."""
    hidden = (("fc1", dense(64)), relu, ("drop", dropout(0.2)), ("fc2", dense(32)), relu)
    return serial(flatten, *hidden, ("head", dense(CLASSES)))


def cnn() -> Layer:
    """Two convolutions with batch norm, and dropout."""
    first = (("conv1", conv(16, (3, 3), use_bias=False)), ("norm1", batch_norm()), relu)
    second = (("conv2", conv(32, (3, 3), use_bias=False)), ("norm2", batch_norm()), relu)
    head = (flatten, ("drop", dropout(0.4)), ("head", dense(CLASSES)))
    return serial(*first, max_pool((2, 2)), *second, max_pool((2, 2)), *head)


def with_active_units(model: Layer) -> Layer:
    """The model with norm biases of 3 at the start, so that few inputs of a ReLU are near 0.

    If rounding changes the sign of one, the gradient jumps, and so does every later step.
    """

    def init(key: Any, x: Any) -> tuple[Any, Any]:
        params, state = model.init(key, x)
        named = flatten_names(params).items()
        moved = {
            name: leaf + 3 if "norm" in name and "bias" in name else leaf for name, leaf in named
        }
        return unflatten_names(moved), state

    return Layer(init, model.apply)


def images(dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Random images (96, 8, 8, 1) and classes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(96, 8, 8, 1)).astype(dtype), rng.integers(0, CLASSES, 96)


def sequences(dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Random sequences (96, 8, 8) and classes."""
    x, y = images(dtype)
    return x[..., 0], y


LEARNING_RATE = 0.05
SMALLER_RATES = {"resnet20": 0.005}  # so that rounding errors grow no more than in other models

# Each with its data, and its rules for tensor parallelism.
CASES: dict[str, tuple[Callable[[], Layer], Callable, list]] = {
    "mlp": (
        mlp,
        images,
        [("fc1/kernel", COLUMNS), ("fc1/bias", PartitionSpec("model")), ("fc2/kernel", ROWS)],
    ),
    "cnn": (
        cnn,
        images,
        [
            ("conv1/kernel", FILTERS),
            ("norm1/.*", PartitionSpec("model")),
            ("conv2/kernel", CHANNELS),
            ("head/kernel", ROWS),
        ],
    ),
    "resnet20": (
        lambda: with_active_units(models.resnet20(classes=CLASSES)),
        images,
        [(".*conv.*/kernel", FILTERS)],
    ),
    "lstm": (
        lambda: models.lstm_classifier(CLASSES, units=(32,)),
        sequences,
        [(".*/rnn/(recurrent_)?kernel", COLUMNS), ("head/kernel", ROWS)],
    ),
    "population": (mlp, images, []),
}


def plans(name: str, rules: list) -> dict[str, ShardingPlan]:
    """The layouts of a model; for a population, sharded members replace sharded tensors."""
    if name == "population":
        return {
            "data": ShardingPlan({"batch": 8}),
            "fsdp": ShardingPlan({"batch": 8}, fsdp=True),
            "members": ShardingPlan({"members": 8}),
            "members x data": ShardingPlan({"members": 4, "batch": 2}),
        }
    return {
        "data": ShardingPlan({"batch": 8}),
        "fsdp": ShardingPlan({"batch": 8}, fsdp=True),
        "tensor": ShardingPlan({"model": 8}, rules),
        "fsdp x tensor": ShardingPlan({"batch": 4, "model": 2}, rules, fsdp=True),
    }


def train(name: str, dtype: Any, plan: ShardingPlan | None) -> tuple[Run, jax.stages.Compiled]:
    """A run after `STEPS` steps of SGD with momentum, and its compiled program."""
    build, data, _ = CASES[name]
    split, model = data(dtype), in_dtype(build(), dtype)
    options: dict[str, Any] = {"batch_size": BATCH_SIZE, "sharding": plan}

    def step(hparams: Any) -> Any:
        optimizer = optax.sgd(hparams["learning_rate"], momentum=0.9)
        return make_train_step(model, optimizer, losses.softmax_cross_entropy)

    if name == "population":
        keys = jax.random.split(jax.random.key(0), MEMBERS)
        rates = {"learning_rate": jnp.linspace(0.01, 0.1, MEMBERS, dtype=dtype)}
        options |= {"strategy": "vmap", "hparams": rates, "keys": keys}
        run = start_population(step, split, **options)
    else:
        rate = SMALLER_RATES.get(name, LEARNING_RATE)
        rates = {"learning_rate": jnp.asarray(rate, dtype)}
        run = start_run(step, split, key=jax.random.key(0), hparams=rates, **options)
    while run.step < STEPS:
        run, _ = advance(run, STEPS, rates)
    return run, run.program(rates)


def in_dtype(model: Layer, dtype: Any) -> Layer:
    """The model with params and state of this dtype, since layers create float32."""

    def init(key: Any, x: Any) -> tuple[Any, Any]:
        return jax.tree.map(lambda leaf: leaf.astype(dtype), model.init(key, x))

    return Layer(init, model.apply)


def compare(one: Run, run: Run) -> dict[str, float]:
    """The largest difference from one device, and the share of sharded params per device."""
    params = jax.tree.leaves(run.train_state.params)
    expected = jax.tree.leaves(to_host(one.train_state.params))
    pairs = zip(expected, map(to_host, params), strict=True)
    sharded = [leaf for leaf in params if not leaf.is_fully_replicated]
    held = sum(leaf.addressable_shards[0].data.nbytes for leaf in sharded)
    return {
        "difference": max(float(np.abs(a - b).max() / np.abs(a).max()) for a, b in pairs),
        "sharded": len(sharded),
        "held": held / max(sum(leaf.nbytes for leaf in sharded), 1),
    }


def main(name: str, precision: str, *wanted: str) -> None:
    """Print one line of JSON per layout."""
    if precision == "float64":
        jax.config.update("jax_enable_x64", True)
    if jax.process_count() > 1:
        wanted = ("data",)
    dtype, rules = np.dtype(precision), CASES[name][2]
    runs = []
    for layout, plan in plans(name, rules).items():
        if not wanted or layout in wanted:
            run, program = train(name, dtype, plan)
            runs.append((layout, run, collectives(program.as_text() or "")))
    if jax.process_index() > 0:
        return
    one, _ = train(name, dtype, None)  # last, or the other process would wait for it
    for layout, run, exchanged in runs:
        where = {"model": name, "precision": precision, "layout": layout}
        record = {**where, "processes": jax.process_count(), **compare(one, run)}
        print(json.dumps(record | {"collectives": exchanged}), flush=True)


if __name__ == "__main__":
    if "--distributed" in sys.argv:
        initialize()
    main(*(word for word in sys.argv[1:] if word != "--distributed"))
