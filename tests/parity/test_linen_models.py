"""Parity of the LeNets with Flax Linen: the same params give the same logits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from helpers import assert_close, normal, spec

from jaxnets import models


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


CASES = {
    "lenet5": (LeNet5(), models.lenet5()),
    "lenet_batch_norm": (LeNetBatchNorm(), models.lenet_batch_norm()),
}


@pytest.mark.usefixtures("unoptimised")
@pytest.mark.parametrize(("linen", "model"), CASES.values(), ids=CASES)
def test_the_logits_of_a_lenet_agree(linen, model):
    x = normal(2, 16, 16, 1)
    params, state = jax.eval_shape(model.init, jax.random.key(0), x)
    params = jax.tree.map(lambda leaf: normal(*leaf.shape) / len(leaf) ** 0.5, params)
    state = jax.tree.map(lambda leaf: jnp.asarray(np.linspace(0.5, 2, *leaf.shape), "f4"), state)
    shapes = jax.eval_shape(linen.init, jax.random.key(0), x)
    assert (spec(params), spec(state)) == (shapes["params"], shapes.get("batch_stats", {}))
    theirs = jax.jit(linen.apply)({"params": params, "batch_stats": state}, x)
    assert_close(jax.jit(model.apply)(params, state, x)[0], theirs)
