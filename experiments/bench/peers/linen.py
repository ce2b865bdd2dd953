"""Flax Linen and optax, one jitted step at a time."""

from functools import partial

import jax
from flax import linen as nn

from experiments.bench.cases import NORM_DECAY, NORM_EPSILON
from experiments.bench.peers.choose import choose
from experiments.bench.peers.stepping import Array, Network, Stepper, members
from experiments.bench.task import Task

NEEDS = ("flax",)

pool = partial(nn.max_pool, window_shape=(2, 2), strides=(2, 2))


def make(task: Task) -> Stepper:
    """A trainer of the network of the task's case."""
    return Stepper(task, members(task, network))


def network(task: Task) -> Network:
    """The network of the task's case with its initial weights."""
    model = choose(task, CASES)()
    image = jax.numpy.zeros((1, 28, 28, 1))
    variables = jax.jit(partial(model.init, train=False))(jax.random.key(task.seed), image)
    params = variables["params"]
    state = {name: tree for name, tree in variables.items() if name != "params"}

    def apply(params, state, x, train):
        mutable = list(state) if train else False
        out = model.apply({"params": params, **state}, x, train=train, mutable=mutable)
        return out if train else (out, state)

    return Network(params, state, apply)


class MLP(nn.Module):
    """Dense layers with ReLU between them."""

    hidden: tuple[int, ...] = (500, 300)

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Logits of images."""
        x = x.reshape(len(x), -1)
        for features in self.hidden:
            x = nn.relu(nn.Dense(features)(x))
        return nn.Dense(10)(x)


class BatchNormCNN(nn.Module):
    """Three 3x3 convolutions with batch norm, two dense layers."""

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Logits of images."""
        for number, features in enumerate((16, 32, 64)):
            x = nn.Conv(features, (3, 3), use_bias=False)(x)
            x = nn.relu(nn.BatchNorm(not train, momentum=NORM_DECAY, epsilon=NORM_EPSILON)(x))
            x = pool(x) if number < 2 else x
        x = x.reshape(len(x), -1)
        return nn.Dense(10)(nn.relu(nn.Dense(50)(x)))


class CNN(nn.Module):
    """Two 5x5 convolutions, two dense layers."""

    @nn.compact
    def __call__(self, x: Array, train: bool) -> Array:
        """Logits of images."""
        for features in (32, 64):
            x = pool(nn.relu(nn.Conv(features, (5, 5))(x)))
        x = x.reshape(len(x), -1)
        return nn.Dense(10)(nn.relu(nn.Dense(256)(x)))


CASES = {
    "mlp": MLP,
    "population": partial(MLP, hidden=(32,)),
    "cnn_bn": BatchNormCNN,
    "cnn_5x5": CNN,
}
