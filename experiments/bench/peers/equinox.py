"""Equinox and optax, one jitted step at a time; partitioned, which is faster than `filter_jit`.

Equinox's layers take one image, channels first; `vmap` extends them to a batch.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from equinox import nn
from jax.nn.initializers import lecun_normal

from experiments.bench.cases import NORM_DECAY, NORM_EPSILON
from experiments.bench.peers.choose import choose
from experiments.bench.peers.stepping import Network, Stepper
from experiments.bench.task import Task

NEEDS = ("equinox",)

BATCH = "batch"


def make(task: Task) -> Stepper:
    """A trainer of the network of the task's case."""
    return Stepper(task, network(task))


def network(task: Task) -> Network:
    """The network of the task's case with its initial weights."""
    *keys, last = jax.random.split(jax.random.key(task.seed), 6)
    model, state = nn.make_with_state(choose(task, CASES))(keys)
    model = initialise(model, last)
    params, static = eqx.partition(model, eqx.is_inexact_array)

    def apply(params, state, x, train):
        model = nn.inference_mode(eqx.combine(params, static), not train)
        batch = jax.vmap(model, axis_name=BATCH, in_axes=(0, None), out_axes=(0, None))
        return batch(x.transpose(0, 3, 1, 2), state)

    return Network(params, state, apply)


def initialise(model: nn.Sequential, key: jax.Array) -> nn.Sequential:
    """The model with initial weights as in `cases`."""

    def layers(model: nn.Sequential) -> list:
        kinds = nn.Linear | nn.Conv2d
        nodes = jax.tree.leaves(model, is_leaf=lambda node: isinstance(node, kinds))
        return [node for node in nodes if isinstance(node, kinds)]

    def weights(model: nn.Sequential) -> list:
        return [layer.weight for layer in layers(model)]

    def biases(model: nn.Sequential) -> list:
        return [layer.bias for layer in layers(model) if layer.bias is not None]

    keys, draw = jax.random.split(key, len(layers(model))), lecun_normal(in_axis=1, out_axis=0)
    kernels = [draw(key, w.shape) for key, w in zip(keys, weights(model), strict=True)]
    model = eqx.tree_at(weights, model, kernels)
    return eqx.tree_at(biases, model, [jnp.zeros_like(bias) for bias in biases(model)])


def mlp(keys: list[jax.Array]) -> nn.Sequential:
    """784-500-300-10 with ReLU."""
    return nn.Sequential(
        [
            *[flatten, nn.Linear(784, 500, key=keys[0]), relu],
            *[nn.Linear(500, 300, key=keys[1]), relu, nn.Linear(300, 10, key=keys[2])],
        ]
    )


def cnn_bn(keys: list[jax.Array]) -> nn.Sequential:
    """Three 3x3 convolutions with batch norm, two dense layers."""

    def normed(before: int, after: int, key: jax.Array) -> list:
        conv = nn.Conv2d(before, after, 3, padding="SAME", use_bias=False, key=key)
        options = {"eps": NORM_EPSILON, "momentum": NORM_DECAY, "mode": "batch"}
        return [conv, nn.BatchNorm(after, BATCH, **options), relu]

    return nn.Sequential(
        [
            *[*normed(1, 16, keys[0]), pool, *normed(16, 32, keys[1]), pool],
            *[*normed(32, 64, keys[2]), flatten],
            *[nn.Linear(7 * 7 * 64, 50, key=keys[3]), relu, nn.Linear(50, 10, key=keys[4])],
        ]
    )


def cnn_5x5(keys: list[jax.Array]) -> nn.Sequential:
    """Two 5x5 convolutions, two dense layers."""
    return nn.Sequential(
        [
            *[nn.Conv2d(1, 32, 5, padding="SAME", key=keys[0]), relu, pool],
            *[nn.Conv2d(32, 64, 5, padding="SAME", key=keys[1]), relu, pool, flatten],
            *[nn.Linear(7 * 7 * 64, 256, key=keys[2]), relu, nn.Linear(256, 10, key=keys[3])],
        ]
    )


flatten, relu, pool = nn.Lambda(jnp.ravel), nn.Lambda(jax.nn.relu), nn.MaxPool2d(2, 2)
CASES = {"mlp": mlp, "cnn_bn": cnn_bn, "cnn_5x5": cnn_5x5}
