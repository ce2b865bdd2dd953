"""Parity with Flax Linen: the same params give the same outputs and gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from helpers import assert_close, normal, spec

from jaxnets import (
    avg_pool,
    batch_norm,
    conv,
    dense,
    embedding,
    flatten,
    layer_norm,
    max_pool,
    serial,
)

# Of the largest value of each array; float32 has 1e-7.
TOLERANCE = 1e-5

line, image, table = normal(3, 9, 4), normal(3, 8, 7, 4), normal(5, 4)
tokens = jnp.asarray([[3, 0, 3], [1, 11, 2]])


def exact(**options):
    """Linen's batch norm with the variance in two passes, as ours."""
    return nn.BatchNorm(use_fast_variance=False, **options)


LAYERS = {
    "dense": (nn.Dense(3), dense(3), table),
    "dense without a bias": (nn.Dense(3, use_bias=False), dense(3, use_bias=False), image),
    "conv": (nn.Conv(6, (3, 2)), conv(6, (3, 2)), image),
    "conv 1-D": (nn.Conv(6, (3,)), conv(6, (3,)), line),
    "conv strided": (nn.Conv(6, (3, 3), (2, 3)), conv(6, (3, 3), strides=(2, 3)), image),
    "conv VALID": (nn.Conv(6, (3, 3), padding="VALID"), conv(6, (3, 3), padding="VALID"), image),
    "conv padded": (
        nn.Conv(6, (3, 3), padding=((2, 0), (1, 1))),
        conv(6, (3, 3), padding=((2, 0), (1, 1))),
        image,
    ),
    "conv dilated": (nn.Conv(6, (3, 2), kernel_dilation=2), conv(6, (3, 2), dilation=2), image),
    "conv grouped without a bias": (
        nn.Conv(6, (3, 3), feature_group_count=2, use_bias=False),
        conv(6, (3, 3), groups=2, use_bias=False),
        image,
    ),
    "conv 1-D strided, padded and dilated": (
        nn.Conv(6, (3,), 2, padding=((1, 2),), kernel_dilation=2),
        conv(6, (3,), strides=2, padding=((1, 2),), dilation=2),
        line,
    ),
    "layer_norm": (nn.LayerNorm(use_fast_variance=False), layer_norm(), image),
    "embedding": (nn.Embed(12, 3), embedding(12, 3), tokens),
}


def gradients(output, params, x):
    """The output and the gradients of its product with random numbers, for params and a real x."""

    @jax.jit
    def run(params, x):
        if jnp.issubdtype(x.dtype, jnp.integer):
            y, back = jax.vjp(lambda params: output(params, x), params)
        else:
            y, back = jax.vjp(output, params, x)
        return y, back(normal(*y.shape, seed=9))

    return run(params, x)


@pytest.mark.parametrize(("linen", "layer", "x"), LAYERS.values(), ids=LAYERS)
def test_a_layer_and_its_gradients_agree(linen, layer, x):
    params, _ = layer.init(jax.random.key(0), x)
    assert spec(params) == jax.eval_shape(linen.init, jax.random.key(0), x)["params"]
    theirs = gradients(lambda params, x: linen.apply({"params": params}, x), params, x)
    ours = gradients(lambda params, x: layer.apply(params, {}, x)[0], params, x)
    assert_close(ours, theirs, TOLERANCE)


POOLS = {"max": (nn.max_pool, max_pool), "mean": (nn.avg_pool, avg_pool)}


@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("padding", ["VALID", "SAME", ((1, 0), (0, 1))], ids=str)
@pytest.mark.parametrize("strides", [(2, 2), (1, 3)], ids=str)
def test_a_pool_and_its_gradient_agree(kind, padding, strides):
    theirs, ours = POOLS[kind]
    unpadded = {"count_include_pad": False} if kind == "mean" else {}

    def linen(_, x):
        return theirs(x, (2, 2), strides, padding, **unpadded)

    pool = ours((2, 2), strides=strides, padding=padding)
    expected = gradients(linen, {}, image)
    assert_close(gradients(lambda _, x: pool(x), {}, image), expected, TOLERANCE)


def training_step(apply):
    """The output with its gradients, and the statistics after."""

    @jax.jit
    def step(params, state, x):
        y, back, after = jax.vjp(lambda params, x: apply(params, state, x), params, x, has_aux=True)
        return (y, back(normal(*y.shape, seed=9))), after

    return step


class LinenNorm(nn.Module):
    """Batch norm alone, in the form of the models below."""

    decay: float

    @nn.compact
    def __call__(self, x, train):
        return exact(momentum=self.decay, name="norm", use_running_average=not train)(x)


class LinenCNN(nn.Module):
    """Two convolutions, each with a pool and the first with a norm, and a head."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.Conv(6, (3, 3), use_bias=False, name="conv1")(x)
        x = nn.relu(exact(name="norm", use_running_average=not train)(x))
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
    "a whole CNN": (LinenCNN(), our_cnn, image),
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
