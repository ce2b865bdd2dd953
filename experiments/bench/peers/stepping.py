"""A JAX network trained from Python: one jitted step with donated state, called in a loop."""

import time
from collections.abc import Callable, Iterator
from itertools import chain, islice
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.bench.cases import LEARNING_RATE
from experiments.bench.peers.images import TESTED, decay_steps, epochs, images
from experiments.bench.task import Task

Array = jax.Array


class Network(NamedTuple):
    """A network with its initial weights."""

    params: Any
    state: Any  # running statistics
    apply: Callable[[Any, Any, Array, bool], tuple[Array, Any]]
    # apply(params, state, images, train) -> (logits, state)


def members(task: Task, network: Callable[[Task], Network]) -> Network:
    """The task's network, or one per member with consecutive seeds, by `vmap`.

    All members share the batches, and their logits have a leading axis. The networks are stateless.
    """
    if task.members == 1:
        return network(task)
    params = jax.jit(jax.vmap(lambda seed: network(task._replace(seed=seed)).params))
    one = network(task)

    def apply(params: Any, state: Any, x: Array, train: bool) -> tuple[Array, Any]:
        return jax.vmap(lambda member: one.apply(member, state, x, train)[0])(params), state

    return Network(params(task.seed + jnp.arange(task.members)), one.state, apply)


def rate(first: Any, steps: int | None) -> Any:
    """A learning rate for optax: constant, or a cosine decay over `steps`."""
    return optax.cosine_decay_schedule(first, steps) if steps else first


class Carry(NamedTuple):
    """The state that one step passes to the next."""

    params: Any
    state: Any
    opt_state: Any


class Stepper:
    """A `Trainer` with Adam, with the data on the device as uint8."""

    def __init__(self, task: Task, network: Network):
        self.dtype, self.apply, self.members = jnp.dtype(task.dtype), network.apply, task.members
        train, self.test = images(task)
        self.train, examples = jax.device_put(train), len(train.y)
        self.batch_size, self.epoch_steps = task.batch_size, examples // task.batch_size
        self.batches: Iterator[np.ndarray] = chain.from_iterable(epochs(examples, task))
        self.optimizer = optax.adam(rate(LEARNING_RATE, decay_steps(task, examples)))
        opt_state = jax.jit(self.optimizer.init)(network.params)
        self.carry = Carry(network.params, network.state, opt_state)
        self.jitted = jax.jit(self.step, donate_argnums=0)
        self.counting = jax.jit(self.count_correct)

    def forward(self, params: Any, state: Any, x: Array, train: bool) -> tuple[Array, Any]:
        """Logits in float32 from uint8 pixels; the network computes in the task's dtype."""
        params = jax.tree.map(lambda leaf: leaf.astype(self.dtype), params)
        logits, state = self.apply(params, state, x.astype(self.dtype) / 255, train)
        return logits.astype(jnp.float32), state

    def step(self, carry: Carry, rows: Array, x: Array, y: Array) -> tuple[Carry, Array]:
        """One step of Adam on these rows of the data, and the loss before it."""

        def loss(params: Any) -> tuple[Array, Any]:
            logits, state = self.forward(params, carry.state, x[rows], True)
            labels = jnp.broadcast_to(y[rows], logits.shape[:-1])
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return losses.mean(axis=-1).sum(), state  # so that gradients of members are independent

        (value, state), gradients = jax.value_and_grad(loss, has_aux=True)(carry.params)
        updates, opt_state = self.optimizer.update(gradients, carry.opt_state)
        params = optax.apply_updates(carry.params, updates)
        return Carry(params, state, opt_state), value / self.members

    def count_correct(self, params: Any, state: Any, x: Array, y: Array) -> Array:
        """The number of correctly classified images of a batch, summed over the members."""
        logits, _ = self.forward(params, state, x, False)
        return (logits.argmax(axis=-1) == y).sum()

    def prepare(self) -> dict[str, float]:
        """Compile the step."""
        return self.compile(self.jitted, (self.batch_size,))

    def compile(self, jitted: Any, shape: tuple[int, ...]) -> dict[str, float]:
        """Compile a function for rows of this shape, before its first call; return the seconds."""
        began = time.perf_counter()
        lowered = jitted.lower(self.carry, np.zeros(shape, np.int32), *self.train)
        traced = time.perf_counter()
        lowered.compile()
        return {"trace": traced - began, "compile": time.perf_counter() - traced}

    def steps(self, n: int) -> float:
        """Train n steps; return the loss of the last one."""
        loss = jnp.nan
        for rows in islice(self.batches, n):
            self.carry, loss = self.jitted(self.carry, rows, *self.train)
        jax.block_until_ready(self.carry)
        return float(loss)

    def epoch(self) -> None:
        """Train one epoch."""
        self.steps(self.epoch_steps)

    def accuracy(self) -> float:
        """The fraction of the test images that are classified correctly."""
        (params, state, _), (x, y) = self.carry, self.test
        batches = (slice(start, start + TESTED) for start in range(0, len(y), TESTED))
        counts = [self.counting(params, state, x[batch], y[batch]) for batch in batches]
        return sum(map(int, counts)) / len(y) / self.members
