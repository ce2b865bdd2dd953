"""Flax NNX and optax, one jitted step at a time; split and merged, faster than `nnx.jit`."""

from functools import partial

import jax
from flax import nnx

from experiments.bench.cases import NORM_DECAY, NORM_EPSILON
from experiments.bench.peers.choose import choose
from experiments.bench.peers.stepping import Network, Stepper
from experiments.bench.task import Task

NEEDS = ("flax",)


def make(task: Task) -> Stepper:
    """A trainer of the network of the task's case."""
    return Stepper(task, network(task))


def network(task: Task) -> Network:
    """The network of the task's case with its initial weights."""
    model = choose(task, CASES)(nnx.Rngs(task.seed))
    graph, params, state = nnx.split(model, nnx.Param, ...)

    def apply(params, state, x, train):
        model = nnx.merge(graph, params, state, copy=True)  # its mutations stay in this trace
        model.train() if train else model.eval()
        logits = model(x)
        return logits, nnx.split(model, nnx.Param, ...)[2]

    return Network(params, state, apply)


def mlp(rngs: nnx.Rngs) -> nnx.Sequential:
    """784-500-300-10 with ReLU."""
    return nnx.Sequential(
        *[flatten, nnx.Linear(784, 500, rngs=rngs), nnx.relu],
        *[nnx.Linear(500, 300, rngs=rngs), nnx.relu, nnx.Linear(300, 10, rngs=rngs)],
    )


def cnn_bn(rngs: nnx.Rngs) -> nnx.Sequential:
    """Three 3x3 convolutions with batch norm, two dense layers."""

    def normed(before: int, after: int) -> list:
        conv = nnx.Conv(before, after, (3, 3), use_bias=False, rngs=rngs)
        norm = nnx.BatchNorm(after, momentum=NORM_DECAY, epsilon=NORM_EPSILON, rngs=rngs)
        return [conv, norm, nnx.relu]

    return nnx.Sequential(
        *[*normed(1, 16), pool, *normed(16, 32), pool, *normed(32, 64), flatten],
        *[nnx.Linear(7 * 7 * 64, 50, rngs=rngs), nnx.relu, nnx.Linear(50, 10, rngs=rngs)],
    )


def cnn_5x5(rngs: nnx.Rngs) -> nnx.Sequential:
    """Two 5x5 convolutions, two dense layers."""
    return nnx.Sequential(
        *[nnx.Conv(1, 32, (5, 5), rngs=rngs), nnx.relu, pool],
        *[nnx.Conv(32, 64, (5, 5), rngs=rngs), nnx.relu, pool, flatten],
        *[nnx.Linear(7 * 7 * 64, 256, rngs=rngs), nnx.relu, nnx.Linear(256, 10, rngs=rngs)],
    )


def flatten(x: jax.Array) -> jax.Array:
    """The pixels of each image in one axis."""
    return x.reshape(len(x), -1)


pool = partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2))
CASES = {"mlp": mlp, "cnn_bn": cnn_bn, "cnn_5x5": cnn_5x5}
