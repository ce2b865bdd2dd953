"""LSTM and GRU compared with PyTorch, Keras and Flax Linen on a CPU: forward and backward time.

python -m experiments.bench.recurrent
python -m experiments.bench.recurrent --out experiments/results/bench_recurrent.json

All have the same sizes and loss, the mean square of all outputs minus noise; the JAX libraries take
gradient steps in one compiled loop, as training does, PyTorch eagerly. They take turns, and each
round gives two ratios: of CPU times, since the wall time on a shared processor depends on other
programs, and of wall times, which show on an idle machine whether a library uses all cores. Run it
pinned to one core (`taskset -c 0`) for the figures of a single thread; the result has the number of
cores that the process may use.
"""

import importlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import command_line
from experiments.bench.records import processor
from experiments.timings import turns
from experiments.timings.turns import describe, in_turn, ratio, summary
from jaxnets import gru, lowering, lstm

Step = Callable[[], object]


@dataclass(frozen=True)
class Config(turns.Config):
    """Recurrent networks, timed."""

    batch_size: int = 64
    """Sequences per batch."""
    time: int = 200
    """Steps per sequence."""
    features: int = 32
    """Input features."""
    rounds: int = 7
    """Rounds that are counted."""
    repeats: int = 4
    """Gradient steps per measurement."""


LAYERS = {
    "lstm": (lstm, lowering.plain_lstm),
    "gru": (gru, lowering.plain_gru),
}


def compiled(forward: Callable[[Any, Any], Any], params: Any, data: Any, repeats: int) -> Step:
    """Gradient steps in one compiled loop."""

    @jax.jit
    def run(params: Any, x: Any, target: Any) -> Any:
        def step(_: int, params: Any) -> Any:
            gradient = jax.grad(lambda p: jnp.square(forward(p, x) - target).mean())(params)
            return jax.tree.map(lambda p, g: p - 1e-3 * g, params, gradient)

        return jax.lax.fori_loop(0, repeats, step, params)

    return lambda: jax.block_until_ready(run(params, *data))


def ours(kind: str, units: int, data: Any, repeats: int, *, plain: bool = False) -> Step:
    """This library's layer; `plain` is XLA's scan and its derivative."""
    make, plain_scan = LAYERS[kind]
    layer = make(units, scan=plain_scan) if plain else make(units)
    params, _ = layer.init(jax.random.key(0), data[0])
    return compiled(lambda p, x: layer.apply(p, {}, x)[0], params, data, repeats)


def linen(kind: str, units: int, data: Any, repeats: int) -> Step:
    """`flax.linen.RNN` of its faster LSTM cell, or its GRU cell."""
    nn = importlib.import_module("flax.linen")
    cell = {"lstm": nn.OptimizedLSTMCell, "gru": nn.GRUCell}[kind]
    model = nn.RNN(cell(units))
    return compiled(model.apply, model.init(jax.random.key(0), data[0]), data, repeats)


def keras(kind: str, units: int, data: Any, repeats: int) -> Step:
    """The layer of Keras on JAX."""
    layers = importlib.import_module("keras").layers
    layer = {"lstm": layers.LSTM, "gru": layers.GRU}[kind](units, return_sequences=True)
    layer.build(data[0].shape)
    fixed = [v.value for v in layer.non_trainable_variables]

    def forward(params: Any, x: Any) -> Any:
        return layer.stateless_call(params, fixed, x)[0]

    return compiled(forward, [v.value for v in layer.trainable_variables], data, repeats)


def torch(kind: str, units: int, data: Any, repeats: int) -> Step:
    """`torch.nn.LSTM` or `torch.nn.GRU`, with as many threads as there are cores."""
    library = importlib.import_module("torch")
    library.set_num_threads(len(os.sched_getaffinity(0)))
    x, target = (library.from_numpy(np.array(a)) for a in data)
    make = {"lstm": library.nn.LSTM, "gru": library.nn.GRU}[kind]
    layer = make(x.shape[-1], units, batch_first=True)

    def run() -> None:
        for _ in range(repeats):
            layer.zero_grad()
            ((layer(x)[0] - target) ** 2).mean().backward()

    return run


PEERS: dict[str, Callable[..., Step]] = {
    "jaxnets": ours,
    "jaxnets, plain scan": partial(ours, plain=True),
    "PyTorch": torch,
    "Keras on JAX": keras,
    "Flax Linen": linen,
}


class Seconds(NamedTuple):
    """The CPU time of this process and the wall time of a call."""

    cpu: float
    wall: float


def seconds(step: Step) -> Seconds:
    """Time a call."""
    cpu, wall = time.process_time(), time.perf_counter()
    step()
    return Seconds(time.process_time() - cpu, time.perf_counter() - wall)


def compare(kind: str, units: int, config: Config) -> Mapping[str, Any]:
    """CPU and wall milliseconds per gradient step of the libraries, which take turns."""
    keys = jax.random.split(jax.random.key(1))
    shape = (config.batch_size, config.time)
    sizes = (config.features, units)
    data = [jax.random.normal(k, (*shape, n)) for k, n in zip(keys, sizes, strict=True)]
    steps = {name: make(kind, units, data, config.repeats) for name, make in PEERS.items()}
    times = in_turn({name: partial(seconds, s) for name, s in steps.items()}, config.rounds)
    cpu, wall = (
        {name: [getattr(t, clock) for t in taken] for name, taken in times.items()}
        for clock in Seconds._fields
    )
    return {
        "layer": kind,
        "units": units,
        "cpu_milliseconds": milliseconds(cpu, config.repeats),
        "ours_over": ours_over(cpu),
        "wall_milliseconds": milliseconds(wall, config.repeats),
        "ours_over_wall": ours_over(wall),
    }


def milliseconds(times: Mapping[str, list[float]], repeats: int) -> dict[str, Any]:
    """The milliseconds per gradient step of each library."""
    return {name: summary([1000 * s / repeats for s in taken]) for name, taken in times.items()}


def ours_over(times: Mapping[str, list[float]]) -> dict[str, Any]:
    """The time of jaxnets, as a multiple of each library's, by round."""
    return {name: ratio(times["jaxnets"], taken) for name, taken in times.items()}


def main(config: Config) -> None:
    """Time both layers at two widths, print a line for each, and write the result."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    results = []
    for kind in LAYERS:
        for units in (32, 128):
            result = compare(kind, units, config)
            for clock, over in (("cpu", "ours_over"), ("wall", "ours_over_wall")):
                ratios = {name: f"{r['median']:.2f}" for name, r in result[over].items()}
                taken = describe(result[f"{clock}_milliseconds"])
                print(f"{kind}({units}), {clock}: {taken}; ours over {ratios}", flush=True)
            results.append(result)
    cores = len(os.sched_getaffinity(0))
    print(f"{cores} of {os.cpu_count()} cores, {processor()}", flush=True)
    sizes = {"batch_size": config.batch_size, "time": config.time, "features": config.features}
    result = {**sizes, "pinned_to": cores, "processor": processor(), "results": results}
    turns.write("bench_recurrent", config.out, result)


if __name__ == "__main__":
    command_line.main(main, Config, keep_compiled=False)
