"""jaxnets: a chunk of steps is one compiled program, its state donated, its data on the device."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
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
from jaxnets.sharding import unshard
from jaxnets.training import Run, TrainStep, advance, evaluate, make_train_step, start_run
from jaxnets.training.population import evaluate_population, start_population

NEEDS = ("jax", "jaxlib", "optax")
DTYPES = {"float32": None, "bfloat16": jnp.bfloat16}
NEVER = (2**30, "steps")  # so that no evaluation ends a chunk


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


def model(case: str) -> Layer:
    """The network of a case, from pixels in 0..255 to logits."""
    return serial(scale_pixels(), ("net", NETWORKS[case]()))


def take_steps(run: Run, n: int, hparams: Any = None) -> Run:
    """The run after `n` more steps, in as many chunks as necessary."""
    end = run.step + n
    for _ in range(n):  # a chunk takes at least one step
        if run.step < end:
            run, _ = advance(run, end, hparams)
    return run


class Ours:
    """A `Trainer`."""

    def __init__(self, task: Task):
        self.train, self.test = images(task)
        if task.batch_size > len(self.train.y):
            raise ValueError(f"{len(self.train.y)} images do not fill a batch of {task.batch_size}")
        self.task = task
        self.train_step = make_train_step(
            model(task.case),
            optax.adam(rate(LEARNING_RATE, decay_steps(task, len(self.train.y)))),
            losses.softmax_cross_entropy,
            metrics={"accuracy": metrics.accuracy},
            compute_dtype=DTYPES[task.dtype],
        )

    def prepare(self) -> dict[str, float]:
        """Compile the program of a chunk, for any number of steps."""
        with compiling() as seconds:
            self.run = start_run(
                self.train_step,
                self.train,
                key=jax.random.key(self.task.seed),
                batch_size=self.task.batch_size,
                on_nonfinite="ignore",
                evaluate_every=NEVER,
                devices=self.task.devices,
            )
        return seconds

    def steps(self, n: int) -> float:
        """Train n steps; return the loss of the last one."""
        self.run = take_steps(self.run, n)
        return float(self.run.objectives[0, -1])

    def accuracy(self) -> float:
        """The fraction of the test images that are classified correctly."""
        trained = unshard(self.run.train_state)
        return evaluate(self.train_step, trained, self.test)["accuracy"]

    def epoch(self) -> None:
        """Train one epoch."""
        self.steps(self.run.loop.steps_per_epoch)


class Population:
    """A `Trainer` of many networks in one program."""

    def __init__(self, task: Task):
        if task.devices != 1:
            raise NotImplementedError(
                f"a population is trained on one device, but the task has {task.devices}"
            )
        self.train, self.test = images(task)
        decay = decay_steps(task, len(self.train.y))
        network = model(task.case)

        def train_step(hparams: dict[str, jax.Array]) -> TrainStep:
            return make_train_step(
                network,
                optax.adam(rate(hparams["learning_rate"], decay)),
                losses.softmax_cross_entropy,
                metrics={"accuracy": metrics.accuracy},
                compute_dtype=DTYPES[task.dtype],
            )

        self.task, self.train_step = task, train_step
        self.hparams = {"learning_rate": jnp.full(task.members, LEARNING_RATE)}

    def prepare(self) -> dict[str, float]:
        """Compile, and measure the strategies, as `fit_population` does."""
        with compiling() as seconds:
            self.run = start_population(
                self.train_step,
                self.train,
                keys=jax.random.split(jax.random.key(self.task.seed), self.task.members),
                batch_size=self.task.batch_size,
                hparams=self.hparams,
                on_nonfinite="ignore",
                evaluate_every=NEVER,
                share_batches=True,
            )
        self.notes = f"strategy: {self.run.strategy}"
        return seconds

    def steps(self, n: int) -> float:
        """Train n steps; return the last loss, averaged over the members."""
        self.run = take_steps(self.run, n, self.hparams)
        return float(self.run.objectives[:, -1].mean())

    def accuracy(self) -> float:
        """The mean accuracy of the members."""
        metrics = evaluate_population(
            self.train_step,
            self.run.train_state,
            self.test,
            hparams=self.hparams,
            strategy=self.run.strategy,
        )
        return float(metrics["accuracy"].mean())

    def epoch(self) -> None:
        """Train one epoch."""
        self.steps(self.run.loop.steps_per_epoch)


@contextmanager
def compiling() -> Iterator[dict[str, float]]:
    """The seconds spent in the block: in XLA's compiler, "compile", and otherwise, "trace"."""
    seconds = {"trace": 0.0, "compile": 0.0}

    def listen(event: str, duration: float, **_: object) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            seconds["compile"] += duration

    jax.monitoring.register_event_duration_secs_listener(listen)
    began = time.perf_counter()
    try:
        yield seconds
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    seconds["trace"] = time.perf_counter() - began - seconds["compile"]


def make(task: Task) -> Ours | Population:
    """A trainer of the task."""
    return Population(task) if task.case == "population" else Ours(task)
