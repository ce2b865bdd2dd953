"""Momentum with the learning rate inside the velocity, compared with optax's outside it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_close, assert_same, normal

from jaxnets import dense, losses
from jaxnets.training import RunError, descend, fit, make_train_step, momentum

START = jnp.array([2.0, -1.0])


def bend(p):
    return (p**4).sum() / 4 + (p**2).sum()


def halving(step):
    return 0.05 * 0.5 ** (step // 5)


def test_at_a_constant_rate_it_is_optax_sgd_with_momentum():
    points = descend(bend, START, momentum(0.05, decay=0.8), 20)
    assert_close(points, descend(bend, START, optax.sgd(0.05, momentum=0.8), 20), 1e-5)


def test_under_a_schedule_it_is_the_formula_and_not_optax_sgd_with_momentum():
    # v <- gamma v + eta g; theta <- theta - v
    theta, v, expected = np.array([2.0, -1.0]), 0.0, []
    for step in range(20):
        expected.append(theta)
        v = 0.8 * v + halving(step) * (theta**3 + 2 * theta)
        theta = theta - v
    points = descend(bend, START, momentum(halving, decay=0.8), 20).points
    np.testing.assert_allclose(points, [*expected, theta], rtol=1e-5, atol=1e-6)
    optax_points = descend(bend, START, optax.sgd(halving, momentum=0.8), 20).points
    np.testing.assert_allclose(
        optax_points[:6], points[:6], rtol=1e-5
    )  # the rate has not changed yet
    assert np.abs(optax_points[6:] - points[6:]).max() > 0.01


def test_at_a_rate_of_zero_it_keeps_moving_where_optax_stops():
    stopped = lambda step: jnp.where(step < 3, 0.05, 0.0)  # noqa: E731
    points = descend(bend, START, momentum(stopped, decay=0.8), 5).points
    optax_points = descend(bend, START, optax.sgd(stopped, momentum=0.8), 5).points
    assert (points[5] != points[3]).all()
    assert_same(optax_points[5], optax_points[3])


def test_it_keeps_the_dtype_of_the_params():
    tx = momentum(lambda step: jnp.float32(0.1), decay=0.9)
    params = {"w": jnp.ones(3, jnp.bfloat16)}
    updates, state = tx.update(params, tx.init(params), params)
    assert updates["w"].dtype == state.velocity["w"].dtype == jnp.bfloat16


def test_its_rate_and_decay_may_be_hyperparameters():
    def train_step(hparams):
        optimizer = momentum(hparams["learning_rate"], decay=hparams["decay"])
        return make_train_step(dense(1), optimizer, losses.squared_error)

    data = (normal(16, 3), normal(16, 1, seed=1))

    def run(rate):
        hparams = {"learning_rate": rate, "decay": 0.9}
        return fit(train_step, data, key=jax.random.key(0), epochs=2, batch_size=4, hparams=hparams)

    end = run(0.02).train_state.params
    assert_same(run(0.02).train_state.params, end)
    assert (run(0.01).train_state.params["kernel"] != end["kernel"]).all()


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_outside_0_to_1_is_refused(decay):
    with pytest.raises(RunError, match=rf"decay in \[0, 1\).*but got {decay}"):
        momentum(0.1, decay=decay)
