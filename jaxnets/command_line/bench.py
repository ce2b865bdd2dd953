"""`jaxnets bench`: the time per training step, compared with the same steps written by hand."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from jaxnets import data, losses, models
from jaxnets.command_line.info import processor
from jaxnets.command_line.progress import tracked
from jaxnets.command_line.ranges import check_range
from jaxnets.compose import serial
from jaxnets.errors import RunError
from jaxnets.layer import Array
from jaxnets.layers import scale_pixels
from jaxnets.training import Run, advance, make_train_step, start_run
from jaxnets.training.chunk import CAPACITY
from jaxnets.training.source import Epochs

IMAGES = 60_000
LEARNING_RATE = 0.001
NEVER = (2**30, "steps")  # so that no evaluation ends a chunk early
COMPARED = 10  # the first losses; later ones drift apart, as rounding errors grow
TOLERANCE = 0.005  # above differences from rounding, below those between batches


@dataclass(frozen=True)
class Options:
    """Compare the time per training step on this device with the same steps written by hand.

    A perceptron with one hidden layer is trained on MNIST twice in this process: by jaxnets, in the
    compiled chunks of `fit`, which shuffle, check for NaN and take any number of steps; and by
    hand, in one jax.lax.scan over a fixed number of steps, whose batches are chosen beforehand and
    are the same. The two take turns, and their first ten losses must agree to 0.5 %.

    The same code can be slower in one process than in another. To compare with other libraries, in
    fresh processes, run `python -m experiments.bench` in a checkout.
    """

    quick: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Fewer and shorter rounds: under a minute on one CPU core."""
    steps: int | None = None
    """Training steps per turn; by default 1,000, and 500 with --quick."""
    rounds: int | None = None
    """Turns of each, after one that is not counted; by default 20, and 9 with --quick."""
    hidden: int = 128
    """Units of the hidden layer."""
    batch_size: int = 128
    """Images per step."""


def main(arguments: Sequence[str]) -> None:
    """Measure, and print the machine and the times.

    Raises:
      RunError: an option out of its range, or losses that differ, so that times do not compare.
    """
    options = tyro.cli(Options, args=arguments, prog="jaxnets bench")
    steps, rounds = options.steps, options.rounds
    steps = (500 if options.quick else 1000) if steps is None else steps
    rounds = (9 if options.quick else 20) if rounds is None else rounds
    check_range("--steps", steps, CAPACITY)
    check_range("--rounds", rounds, 10**4)
    check_range("--hidden", options.hidden, 10**5)
    check_range("--batch-size", options.batch_size, IMAGES)
    print(machine())
    print(
        f"MNIST, 784-{options.hidden}-10, batch {options.batch_size}, Adam, float32: {rounds} "
        f"rounds of {steps} steps, alternating",
        flush=True,
    )
    run = start(data.load("mnist").train, options.hidden, options.batch_size)
    print(table(*take_turns(run, steps, rounds), examples=options.batch_size))


def machine() -> str:
    """The versions, the device that trains, and the processor."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("jaxnets", "jax", "jaxlib"))
    device = f"{jax.devices()[0].device_kind} ({jax.default_backend()})"
    return f"{versions}\ndevice {device}; processor {processor()}, {os.cpu_count()} cores"


def start(train: data.Split, hidden: int, batch_size: int) -> Run:
    """The run by jaxnets, compiled."""
    train_step = make_train_step(
        serial(scale_pixels(), ("mlp", models.mlp([hidden, 10]))),
        optax.adam(LEARNING_RATE),
        losses.softmax_cross_entropy,
    )
    key = jax.random.key(0)
    return start_run(train_step, train, key=key, batch_size=batch_size, evaluate_every=NEVER)


def take_turns(run: Run, steps: int, rounds: int) -> tuple[np.ndarray, np.ndarray]:
    """Milliseconds per step by round, (rounds,): of the compiled chunk, and of the scan by hand.

    The first turns compile and are not counted; their losses are compared.

    Raises:
      RunError: the losses differ.
    """
    (x, y, _), _ = run.loop.source.read(0, 1)  # the arrays on the device
    params = jax.tree.map(jnp.copy, run.train_state.params["mlp"])
    by_hand = params, optax.adam(LEARNING_RATE).init(params)
    seconds = []
    for number in tracked(range(rounds + 1), "compiling, then rounds"):
        rows = batches(run, steps)
        (run, _), chunk_seconds = timed(lambda run=run: advance(run, run.step + steps))
        (by_hand, values), scan_seconds = timed(
            lambda carry=by_hand, rows=rows: train_by_hand(carry, x, y, rows)
        )
        if number == 0:
            check_losses(run.objectives[0], np.asarray(values))
        else:
            seconds.append((chunk_seconds, scan_seconds))
    chunk, scan = 1000 * np.array(seconds).T / steps
    return chunk, scan


def timed(function: Callable[[], Any]) -> tuple[Any, float]:
    """The result of a call, and the seconds until its arrays are computed."""
    began = time.perf_counter()
    result = function()
    jax.block_until_ready(result[1])
    return result, time.perf_counter() - began


order = jax.jit(Epochs.order, static_argnums=0)


def batches(run: Run, steps: int) -> Array:
    """The rows of the run's next batches, int32 (steps, batch_size)."""
    epochs, first = run.loop.source.reader.epochs, run.step // run.loop.steps_per_epoch
    skipped = run.step - first * epochs.steps
    orders = [
        np.asarray(order(epochs, run.loop.order_key, epoch)).reshape(epochs.steps, -1)
        for epoch in range(first, first + -(-(skipped + steps) // epochs.steps))
    ]
    return jnp.asarray(np.concatenate(orders)[skipped : skipped + steps])


def loss_by_hand(params: Any, x: Array, y: Array) -> Array:
    """The mean cross-entropy of a batch of pixels 0..255."""
    fc1, head = params["fc1"], params["head"]
    pixels = x.reshape(len(x), -1).astype(jnp.float32) / 255
    hidden = jax.nn.relu(pixels @ fc1["kernel"] + fc1["bias"][None])
    logits = hidden @ head["kernel"] + head["bias"][None]
    return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()


def scan_by_hand(carry: Any, x: Array, y: Array, rows: Array) -> tuple[Any, Array]:
    """A step of Adam on each batch of `rows` (steps, batch_size), and the losses (steps,)."""

    def step(carry: Any, rows: Array) -> tuple[Any, Array]:
        params, opt_state = carry
        value, gradient = jax.value_and_grad(loss_by_hand)(params, x[rows], y[rows])
        updates, opt_state = optax.adam(LEARNING_RATE).update(gradient, opt_state)
        return (optax.apply_updates(params, updates), opt_state), value

    return jax.lax.scan(step, carry, rows)


train_by_hand = jax.jit(scan_by_hand, donate_argnums=0)


def check_losses(chunk: np.ndarray, scan: np.ndarray) -> None:
    """Refuse two trainings that are not the same."""
    wrong = ~np.isclose(chunk[:COMPARED], scan[:COMPARED], rtol=TOLERANCE)
    if wrong.any():
        step = int(wrong.argmax())
        raise RunError(
            f"bench expects the same losses from both trainings, but at step {step} got "
            f"{chunk[step]:.6g} and {scan[step]:.6g}, so the times cannot be compared; if this "
            "device rounds matmuls, set JAX_DEFAULT_MATMUL_PRECISION=float32"
        )


def table(chunk: np.ndarray, scan: np.ndarray, *, examples: int) -> str:
    """The times, each with its median and quartiles, and their ratio by round."""
    rows = {"jaxnets, compiled chunk": chunk, "by hand, jax.lax.scan": scan}
    lines = [
        f"{name:<24} {spread(ms)} ms per step, {1000 * examples / np.median(ms):,.0f} images/s"
        for name, ms in rows.items()
    ]
    ratio = f"{'by hand / jaxnets':<24} {spread(scan / chunk)}; above 1, jaxnets is faster"
    return "\n".join([*lines, ratio])


def spread(values: np.ndarray) -> str:
    """The median, and the quartiles in brackets, to three digits."""
    quartiles = np.quantile(values, (0.25, 0.5, 0.75))
    low, median, high = (f"{value:#.3g}".rstrip(".") for value in quartiles)
    return f"{median} ({low} to {high})"
