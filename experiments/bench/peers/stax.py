"""stax, from JAX's own examples, and optax, one jitted step at a time.

Its batch norm has no running statistics: evaluation uses the batch's statistics as well.
"""

from functools import partial

import jax
from jax.example_libraries import stax
from jax.nn.initializers import lecun_normal, zeros

from experiments.bench.cases import NORM_EPSILON
from experiments.bench.peers.choose import choose
from experiments.bench.peers.stepping import Array, Network, Stepper, members
from experiments.bench.task import Task

NEEDS = ("jax",)


def make(task: Task) -> Stepper:
    """A trainer of the network of the task's case."""
    return Stepper(task, members(task, network))


def network(task: Task) -> Network:
    """The network of the task's case with its initial weights."""
    init, forward = choose(task, CASES)
    params = jax.jit(lambda key: init(key, (1, 28, 28, 1))[1])(jax.random.key(task.seed))

    def apply(params, state, x, train):
        del train
        return forward(params, x), state

    return Network(params, (), apply)


def conv(features: int, size: int) -> tuple:
    """A convolution without a bias, which stax does not have."""

    def init(key: Array, shape: tuple[int, ...]) -> tuple[tuple[int, ...], Array]:
        return (*shape[:-1], features), lecun_normal()(key, (size, size, shape[-1], features))

    def apply(kernel: Array, x: Array, **_: object) -> Array:
        axes = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=axes)

    return init, apply


def normed(features: int) -> tuple:
    """A 3x3 convolution, batch norm and ReLU."""
    return stax.serial(conv(features, 3), stax.BatchNorm(epsilon=NORM_EPSILON), stax.Relu)


first = {"W_init": lecun_normal(), "b_init": zeros}  # as in `cases`
dense = partial(stax.Dense, **first)
conv_5x5 = partial(stax.Conv, filter_shape=(5, 5), padding="SAME", **first)
pool = stax.MaxPool((2, 2), strides=(2, 2))
CASES = {
    "mlp": stax.serial(
        *[stax.Flatten, dense(500), stax.Relu],
        *[dense(300), stax.Relu, dense(10)],
    ),
    "population": stax.serial(stax.Flatten, dense(32), stax.Relu, dense(10)),
    "cnn_bn": stax.serial(
        *[normed(16), pool, normed(32), pool, normed(64)],
        *[stax.Flatten, dense(50), stax.Relu, dense(10)],
    ),
    "cnn_5x5": stax.serial(
        *[conv_5x5(32), stax.Relu, pool],
        *[conv_5x5(64), stax.Relu, pool],
        *[stax.Flatten, dense(256), stax.Relu, dense(10)],
    ),
}
