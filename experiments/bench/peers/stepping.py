"""A JAX network trained from Python: one jitted step with donated state, called in a loop."""

import time
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.bench.peers.images import TESTED, epochs, images
from experiments.bench.task import Task

Array = jax.Array
WARM = 3  # steps that are made before any is timed, and undone


class Network(NamedTuple):
    """A network with its first weights."""

    params: Any  # what is trained
    state: Any  # what is remembered: running statistics
    apply: Callable[[Any, Any, Array, bool], tuple[Array, Any]]
    # apply(params, state, images, train) -> (logits, state)


class Carry(NamedTuple):
    """What one step hands to the next."""

    params: Any
    state: Any
    opt_state: Any


class Stepper:
    """A `Trainer` of a network by Adam, its data on the device as uint8."""

    def __init__(self, task: Task, network: Network):
        self.dtype, self.network = jnp.dtype(task.dtype), network
        self.train, self.test = jax.device_put(images(task))
        examples = len(self.train.x)
        self.epoch_steps = examples // task.batch_size
        self.batches: Iterator[np.ndarray] = chain.from_iterable(epochs(examples, task))
        self.tx = optax.adam(1e-3)
        params, state, _ = network
        self.carry = jax.device_put(Carry(params, state, self.tx.init(params)))
        self.jitted = jax.jit(self.step, donate_argnums=0)
        self.rightly = jax.jit(self.count)

    def forward(self, params: Any, state: Any, x: Array, train: bool) -> tuple[Array, Any]:
        """Logits in float32 from uint8 pixels; all between is computed in the task's dtype."""
        params = jax.tree.map(lambda leaf: leaf.astype(self.dtype), params)
        logits, state = self.network.apply(params, state, x.astype(self.dtype) / 255, train)
        return logits.astype(jnp.float32), state

    def step(self, carry: Carry, rows: Array, x: Array, y: Array) -> tuple[Carry, Array]:
        """One step of Adam on these rows of the data, and the loss before it."""

        def loss(params: Any) -> tuple[Array, Any]:
            logits, state = self.forward(params, carry.state, x[rows], True)
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, y[rows])
            return losses.mean(), state

        (value, state), gradients = jax.value_and_grad(loss, has_aux=True)(carry.params)
        updates, opt_state = self.tx.update(gradients, carry.opt_state)
        return Carry(optax.apply_updates(carry.params, updates), state, opt_state), value

    def count(self, params: Any, state: Any, x: Array, y: Array) -> Array:
        """How many of a batch are classified rightly."""
        logits, _ = self.forward(params, state, x, False)
        return (logits.argmax(axis=-1) == y).sum()

    def prepare(self) -> dict[str, float]:
        """Compile the step, and make a few that are undone."""
        seconds = self.compile(self.jitted, next(self.batches))
        self.undone(WARM)
        return seconds

    def compile(self, jitted: Any, rows: np.ndarray) -> dict[str, float]:
        """Compile what trains on these rows; calling it afterwards compiles nothing."""
        began = time.perf_counter()
        lowered = jitted.lower(self.carry, rows, *self.train)
        traced = time.perf_counter()
        lowered.compile()
        return {"trace": traced - began, "compile": time.perf_counter() - traced}

    def undone(self, n: int) -> None:
        """Train n steps, then go on from where training was before."""
        before = jax.tree.map(jnp.copy, self.carry)
        self.steps(n)
        self.carry = before

    def steps(self, n: int) -> float:
        """Train n steps; the loss of the last."""
        loss = jnp.nan
        for rows in islice(self.batches, n):
            self.carry, loss = self.jitted(self.carry, rows, *self.train)
        jax.block_until_ready(self.carry)
        return float(loss)

    def epoch(self) -> None:
        """Train one epoch."""
        self.steps(self.epoch_steps)

    def accuracy(self) -> float:
        """The share of test images that are classified rightly."""
        params, state, _ = self.carry
        x, y = self.test
        starts = range(0, len(y), TESTED)
        batches = ((x[start : start + TESTED], y[start : start + TESTED]) for start in starts)
        return sum(int(self.rightly(params, state, *batch)) for batch in batches) / len(y)
