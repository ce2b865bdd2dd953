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


@pytest.mark.parametrize(
    ("name", "side"),
    [("alexnet", 67), ("vgg16", 32)],  # the smallest images that they accept
)
def test_a_training_step_in_full_width_updates_every_layer_with_finite_gradients(name, side):
    train_step = make_train_step(
        getattr(models, name)(), optax.sgd(0.001), losses.softmax_cross_entropy
    )
    x = normal(2, side, side, 3)
    before = drawn(train_step, x)

    @jax.jit
    def step(before, batch):
        after, sums = train_step(before, batch)
        # A gradient is finite if and only if the new weights are. They need not be returned.
        updated = jax.tree.map(
            lambda new, old: jnp.isfinite(new).all() & (new != old).any(),
            after.params,
            before.params,
        )
        return after.step, sums["objective"], updated

    number, objective, updated = step(before, Batch(x, jnp.array([0, 999]), jnp.ones(2)))
    assert number == 1 and 1 < objective < 100
    assert [path for path, is_updated in flatten_names(updated).items() if not is_updated] == []
