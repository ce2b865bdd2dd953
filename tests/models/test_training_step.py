"""A training step of the two largest networks, in full width, is finite."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import normal

from jaxnets import losses, models
from jaxnets.training import Batch, TrainState, make_train_step
from jaxnets.trees import flatten_names


def drawn(train_step, x):
    """An initial train state with kernels as in He et al. 2015, from NumPy, which is faster."""
    rng, abstract = np.random.default_rng(0), jax.eval_shape(train_step.init, jax.random.key(0), x)

    def draw(leaf):
        if leaf.ndim == 1:
            return np.zeros(leaf.shape, np.float32)
        deviation = (2 * leaf.shape[-1] / leaf.size) ** 0.5
        return rng.standard_normal(leaf.shape, np.float32) * np.float32(deviation)

    params = jax.tree.map(draw, abstract.params)
    return TrainState(
        jnp.int32(0), params, {}, train_step.optimizer.init(params), jax.random.key(1)
    )


@pytest.mark.parametrize(("name", "side"), [("alexnet", 227), ("vgg16", 64)])
def test_a_training_step_in_full_width_updates_every_layer_with_finite_gradients(name, side):
    train_step = make_train_step(
        getattr(models, name)(), optax.sgd(0.001), losses.softmax_cross_entropy
    )
    x = normal(2, side, side, 3)
    before = drawn(train_step, x)
    after, sums = jax.jit(train_step)(before, Batch(x, jnp.array([0, 999]), jnp.ones(2)))
    assert after.step == 1 and 1 < sums["objective"] < 100
    start = flatten_names(before.params)
    for path, leaf in flatten_names(after.params).items():
        leaf = np.asarray(leaf)  # the gradient is finite if and only if the new weights are
        assert np.isfinite(leaf).all() and (leaf != start[path]).any(), path
