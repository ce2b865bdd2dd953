"""jaxnets: a chunk of steps is one compiled program, its state donated, its data on the device."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.nn import relu

from experiments.bench.cases import LEARNING_RATE, NORM_DECAY, NORM_EPSILON
from experiments.bench.peers.images import decay_steps, images
from experiments.bench.peers.stepping import rate
from experiments.bench.task import Task
from jaxnets import (
    Layer,
    batch_norm,
    conv,
    dense,
    flatten,
    losses,
    max_pool,
    metrics,
    models,
    scale_pixels,
    serial,
)
from jaxnets.sharding import everywhere, home, mesh_of, using
from jaxnets.training import evaluate, make_update
from jaxnets.training.chunk import chunk_program, no_sums, steps_per_epoch
from jaxnets.training.course import Strategy
from jaxnets.training.pace import CAPACITY
from jaxnets.training.population.evaluate import evaluate_population
from jaxnets.training.population.programs import Programs
from jaxnets.training.program import Program

NEEDS = ("jax", "jaxlib", "optax")
DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}


def cnn_bn() -> Layer:
    """Three convolutions with batch norm, two dense layers."""

    def block(features: int) -> Layer:
        convolution = conv(features, (3, 3), use_bias=False)
        norm = batch_norm(decay=NORM_DECAY, epsilon=NORM_EPSILON)
        return serial(("conv", convolution), ("norm", norm), relu)

    return serial(
        *[("block1", block(16)), max_pool((2, 2)), ("block2", block(32)), max_pool((2, 2))],
        *[("block3", block(64)), flatten, ("fc1", dense(50)), relu, ("head", dense(10))],
    )


def cnn_5x5() -> Layer:
    """Two convolutions, two dense layers."""
    return serial(
        *[("conv1", conv(32, (5, 5))), relu, max_pool((2, 2))],
        *[("conv2", conv(64, (5, 5))), relu, max_pool((2, 2))],
        *[flatten, ("fc1", dense(256)), relu, ("head", dense(10))],
    )


NETWORKS: dict[str, Callable[[], Layer]] = {
    "mlp": lambda: models.mlp((500, 300, 10)),
    "population": lambda: models.mlp((32, 10)),
    "cnn_bn": cnn_bn,
    "cnn_5x5": cnn_5x5,
    "alexnet": models.alexnet,
    "vgg16": models.vgg16,
    "resnet18": models.resnet18,
    "resnet50": models.resnet50,
}


def stops(done: int, n: int) -> list[int]:
    """Where the chunks of n further steps end."""
    return [*range(done + CAPACITY, done + n, CAPACITY), done + n]


def model(case: str) -> Layer:
    """The network of a case, from pixels in 0..255 to logits."""
    return serial(scale_pixels(), ("net", NETWORKS[case]()))


class Ours:
    """A `Trainer`."""

    def __init__(self, task: Task):
        self.mesh = mesh_of(task.devices)
        train, self.test = images(task)
        if task.batch_size > len(train.y):
            raise ValueError(f"{len(train.y)} images do not fill a batch of {task.batch_size}")
        self.train = everywhere(self.mesh, (jnp.asarray(train.x), jnp.asarray(train.y)))
        self.update = make_update(
            model(task.case),
            optax.adam(rate(LEARNING_RATE, decay_steps(task, len(train.y)))),
            losses.softmax_cross_entropy,
            compute_dtype=DTYPES[task.dtype],
        )
        self.task, self.done = task, 0
        first = Program(self.update, self.train, None, None, task.batch_size, "drop", "ignore")
        self.train_state = everywhere(self.mesh, first.start(jax.random.key(task.seed)))

    def prepare(self) -> dict[str, float]:
        """Compile the program of a chunk, which serves every number of steps."""
        sizes = {"batch_size": self.task.batch_size, "remainder": "drop", "capacity": CAPACITY}
        began = time.perf_counter()
        sums = no_sums(self.update, self.train_state, self.train, None, self.task.batch_size)
        self.sums = everywhere(self.mesh, sums)
        arguments = (self.update, self.train_state, self.train, None, self.step(0))
        with using(self.mesh):
            program = chunk_program(self.train_state.params)
            lowered = program.lower(*arguments, **sizes, sums=self.sums)
        traced = time.perf_counter()
        self.program = lowered.compile()
        return {"trace": traced - began, "compile": time.perf_counter() - traced}

    def steps(self, n: int) -> float:
        """As many chunks as it takes, of at most `CAPACITY` steps."""
        for stop in stops(self.done, n):
            self.train_state, _, objectives = self.program(
                self.train_state, self.train, None, self.step(stop), sums=self.sums
            )
            last, self.done = stop - self.done - 1, stop
        return float(jax.block_until_ready(objectives)[last])

    def step(self, number: int) -> Any:
        """The number of a step, where the program takes it from."""
        return everywhere(self.mesh, np.int32(number))

    def accuracy(self) -> float:
        """Exact over the test images."""
        trained, wanted = home(self.mesh, self.train_state), {"accuracy": metrics.accuracy}
        found = evaluate(self.update.model, trained.params, trained.state, self.test, wanted)
        return found["accuracy"]

    def epoch(self) -> None:
        """An epoch of steps."""
        self.steps(steps_per_epoch(len(self.train[0]), self.task.batch_size, "drop"))


class Population:
    """A `Trainer` of many networks in one program."""

    def __init__(self, task: Task):
        if task.devices != 1:
            raise NotImplementedError(
                f"a population is trained on one device, but the task has {task.devices}"
            )
        train, self.test = images(task)
        decay = decay_steps(task, len(train.y))
        update = make_update(
            model(task.case),
            lambda hyper: optax.adam(rate(hyper["learning_rate"], decay)),
            losses.softmax_cross_entropy,
            compute_dtype=DTYPES[task.dtype],
        )
        data = (jnp.asarray(train.x), jnp.asarray(train.y))
        order, keys = jax.random.split(jax.random.key(task.seed))
        options = {"batch_size": task.batch_size, "remainder": "drop", "capacity": CAPACITY}
        hypers = {"learning_rate": jnp.full(task.members, LEARNING_RATE)}
        self.programs = Programs(update, data, hypers, order, options)
        self.states = self.programs.start(jax.random.split(keys, task.members))
        self.sums = self.programs.no_sums(task.members)
        self.task, self.done = task, 0
        self.strategy: Strategy = "vmap"

    def prepare(self) -> dict[str, float]:
        """Compile, and measure the strategies, as `fit_population` does."""
        began = time.perf_counter()
        self.strategy = self.programs.fastest(self.states, 0)
        self.notes = f"strategy: {self.strategy}"
        return {"trace": 0.0, "compile": time.perf_counter() - began}

    def steps(self, n: int) -> float:
        """As many chunks as it takes; the mean loss of the members."""
        for stop in stops(self.done, n):
            self.states, _, objectives = self.programs.run(
                self.strategy, self.states, self.sums, self.done, stop
            )
            last, self.done = stop - self.done - 1, stop
        return float(jax.block_until_ready(objectives)[:, last].mean())

    def accuracy(self) -> float:
        """The members' mean, exact over the test images."""
        found = evaluate_population(
            self.programs.update.model,
            *(self.states.params, self.states.state, self.test, {"accuracy": metrics.accuracy}),
            hypers=self.programs.hypers,
            strategy=self.strategy,
        )
        return float(found["accuracy"].mean())

    def epoch(self) -> None:
        """An epoch of steps."""
        self.steps(steps_per_epoch(len(self.programs.data[0]), self.task.batch_size, "drop"))


def make(task: Task) -> Ours | Population:
    """A trainer of the task."""
    return Population(task) if task.case == "population" else Ours(task)
