"""Parity of models with Flax Linen: the same params give the same logits, gradients and state."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from helpers import assert_close, normal, spec

from jaxnets import avg_pool, batch_norm, conv, dense, flatten, max_pool, models, serial

TOLERANCE = 1e-5  # relative to the largest value of each array; float32 has 1e-7
image, table = normal(3, 8, 7, 4), normal(5, 4)


def two_pass_norm(**options):
    """Linen's batch norm, with the variance in two passes."""
    return nn.BatchNorm(use_fast_variance=False, **options)


def training_step(apply):
    """The output with its gradients, and the updated statistics."""

    @jax.jit
    def step(params, state, x):
        y, vjp, after = jax.vjp(lambda params, x: apply(params, state, x), params, x, has_aux=True)
        return (y, vjp(normal(*y.shape, seed=9))), after

    return step


class LinenNorm(nn.Module):
    """Batch norm with the interface of the models below."""

    decay: float

    @nn.compact
    def __call__(self, x, train):
        return two_pass_norm(momentum=self.decay, name="norm", use_running_average=not train)(x)


class LinenCNN(nn.Module):
    """Two convolutions, each with a pool and the first with a norm, and a head."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.Conv(6, (3, 3), use_bias=False, name="conv1")(x)
        x = nn.relu(two_pass_norm(name="norm", use_running_average=not train)(x))
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.tanh(nn.Conv(8, (3, 3), strides=(2, 2), name="conv2")(x))
        x = nn.avg_pool(x, (2, 2), (2, 2), "SAME", count_include_pad=False)
        return nn.Dense(3, name="head")(x.reshape(len(x), -1))


our_cnn = serial(
    ("conv1", conv(6, (3, 3), use_bias=False)),
    ("norm", batch_norm()),
    jax.nn.relu,
    max_pool((2, 2)),
    ("conv2", conv(8, (3, 3), strides=2)),
    jnp.tanh,
    avg_pool((2, 2), padding="SAME"),
    flatten,
    ("head", dense(3)),
)

MODELS = {
    "batch norm of images": (LinenNorm(0.9), serial(("norm", batch_norm(decay=0.9))), image),
    "batch norm of a table": (LinenNorm(0.5), serial(("norm", batch_norm(decay=0.5))), table),
    "a CNN": (LinenCNN(), our_cnn, image),
}


@pytest.mark.parametrize(("linen", "model", "x"), MODELS.values(), ids=MODELS)
def test_a_model_its_gradients_and_its_running_statistics_agree(linen, model, x):
    params, state = model.init(jax.random.key(0), x)
    shapes = jax.eval_shape(partial(linen.init, train=False), jax.random.key(0), x)
    assert {"params": spec(params), "batch_stats": spec(state)} == shapes

    def linen_training(params, state, x):
        variables = {"params": params, "batch_stats": state}
        y, after = linen.apply(variables, x, train=True, mutable=["batch_stats"])
        return y, after["batch_stats"]

    linen_step = training_step(linen_training)
    our_step = training_step(partial(model.apply, train=True))
    theirs = ours = state
    for step in range(3):
        batch = x + step * normal(*x.shape, seed=step)
        expected, theirs = linen_step(params, theirs, batch)
        actual, ours = our_step(params, ours, batch)
        assert_close(actual, expected, TOLERANCE)
        assert_close(ours, theirs, TOLERANCE)

    evaluate = jax.jit(partial(linen.apply, train=False))
    expected = evaluate({"params": params, "batch_stats": theirs}, x)
    assert_close(jax.jit(model.apply)(params, ours, x)[0], expected, TOLERANCE)


class LeNet5(nn.Module):
    """LeCun et al. 1998, as the S4 deck has it."""

    @nn.compact
    def __call__(self, x):
        x = jnp.tanh(nn.Conv(6, (5, 5), padding=2, name="conv1")(x))
        x = nn.avg_pool(x, (2, 2), (2, 2))
        x = jnp.tanh(nn.Conv(16, (5, 5), padding=0, name="conv2")(x))
        x = nn.avg_pool(x, (2, 2), (2, 2)).reshape(len(x), -1)
        x = jnp.tanh(nn.Dense(120, name="fc1")(x))
        x = jnp.tanh(nn.Dense(84, name="fc2")(x))
        return nn.Dense(10, name="head")(x)


class LeNetBatchNorm(nn.Module):
    """The listing of the S2 deck, up to its softmax."""

    @nn.compact
    def __call__(self, x):
        for number, features in enumerate((16, 32, 64), start=1):
            x = nn.Conv(features, (3, 3), padding=1, name=f"conv{number}")(x)
            x = nn.relu(nn.BatchNorm(use_running_average=True, name=f"norm{number}")(x))
            x = nn.max_pool(x, (2, 2), (2, 2)) if number < 3 else x
        x = nn.relu(nn.Dense(50, name="fc1")(x.reshape(len(x), -1)))
        return nn.Dense(10, name="head")(x)


LENETS = {
    "lenet5": (LeNet5(), models.lenet5()),
    "lenet_batch_norm": (LeNetBatchNorm(), models.lenet_batch_norm()),
}


@pytest.mark.parametrize(("linen", "model"), LENETS.values(), ids=LENETS)
def test_the_logits_of_a_lenet_agree(linen, model):
    x = normal(2, 16, 16, 1)
    params, state = jax.eval_shape(model.init, jax.random.key(0), x)
    params = jax.tree.map(lambda leaf: normal(*leaf.shape) / len(leaf) ** 0.5, params)
    state = jax.tree.map(lambda leaf: jnp.asarray(np.linspace(0.5, 2, *leaf.shape), "f4"), state)
    shapes = jax.eval_shape(linen.init, jax.random.key(0), x)
    assert (spec(params), spec(state)) == (shapes["params"], shapes.get("batch_stats", {}))
    theirs = jax.jit(linen.apply)({"params": params, "batch_stats": state}, x)
    assert_close(jax.jit(model.apply)(params, state, x)[0], theirs)
