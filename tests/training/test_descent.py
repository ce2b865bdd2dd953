"""Gradient descent on any function, and on data in batches of any size."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_close, normal

from jaxnets import dense, losses
from jaxnets.keys import stream
from jaxnets.training import RunError, descend, fit, make_train_step

N, RATE = 24, 0.02
X, Y = normal(N, 3, seed=1), normal(N, 1, seed=2)


def bowl(p):
    return 2 * (p["x"] - 1) ** 2 + ((p["y"] + 0.5) ** 4).sum()


START = {"x": 3.0, "y": jnp.array([1.0, -2.0])}


def mean_loss(params):
    return losses.squared_error(X @ params["kernel"] + params["bias"][None], Y).mean()


def linear(hparams):
    return make_train_step(dense(1), optax.sgd(hparams["learning_rate"]), losses.squared_error)


def by_fit(batch_size, epochs, rate=RATE):
    options = {"key": jax.random.key(3), "hparams": {"learning_rate": rate}}
    run = fit(linear, (X, Y), epochs=epochs, batch_size=batch_size, **options)
    return linear(options["hparams"]).init(options["key"], X[:1]), run.train_state


def test_each_step_is_minus_the_rate_times_the_gradient():
    points = descend(bowl, START, optax.sgd(0.05), 4).points
    x, y = 3.0, np.array([1.0, -2.0])
    for step in range(5):
        np.testing.assert_allclose(points["x"][step], x, rtol=1e-6)
        np.testing.assert_allclose(points["y"][step], y, rtol=1e-6)
        x, y = x - 0.05 * 4 * (x - 1), y - 0.05 * 4 * (y + 0.5) ** 3


def test_a_trajectory_has_the_start_the_end_and_the_values_at_its_points():
    points, values = descend(bowl, START, optax.adam(0.1), 5)
    assert values.shape == (6,) and points["y"].shape == (6, 2)
    assert points["x"][0] == START["x"]
    assert_close(values, jax.vmap(bowl)(points), 1e-6)


def test_one_program_runs_many_starts_and_rates():
    starts = {"x": jnp.array([3.0, -1.0, 0.5]), "y": normal(3, 2)}
    rates = jnp.array([0.01, 0.03, 0.05])

    def run(start, rate):
        return descend(bowl, start, optax.sgd(rate, momentum=0.5), 10)

    batched = jax.jit(jax.vmap(run))(starts, rates)
    for i in range(3):
        one = run(jax.tree.map(lambda leaf, i=i: leaf[i], starts), rates[i])
        assert_close(jax.tree.map(lambda leaf, i=i: leaf[i], batched), one, 1e-5)


@pytest.mark.parametrize("batch_size", [N, 8, 1], ids=["batch", "minibatch", "stochastic"])
def test_batch_minibatch_and_stochastic_descent_follow_their_formula(batch_size):
    start, end = by_fit(batch_size, epochs=2)
    w, b = np.asarray(start.params["kernel"], np.float64), 0.0
    for epoch in range(2):
        order = np.asarray(jax.random.permutation(stream(start.key, "order", epoch), N))
        for rows in order.reshape(-1, batch_size):
            x, error = np.asarray(X)[rows], np.asarray(X)[rows] @ w + b - np.asarray(Y)[rows]
            w, b = w - RATE * 2 * x.T @ error / batch_size, b - RATE * 2 * error.mean()
    np.testing.assert_allclose(end.params["kernel"], w, rtol=1e-5)
    np.testing.assert_allclose(end.params["bias"], [b], rtol=1e-5)


def test_fit_with_one_batch_per_epoch_is_descent_on_the_mean_loss():
    start, end = by_fit(N, epochs=7)
    points = descend(mean_loss, start.params, optax.sgd(RATE), 7).points
    assert_close(end.params, jax.tree.map(lambda leaf: leaf[-1], points), 1e-5)


def test_summed_gradients_are_mean_gradients_with_n_times_the_rate():
    # some texts sum the gradients over all examples instead of averaging them
    start, end = by_fit(N, epochs=7, rate=N * 0.001)
    total = descend(lambda p: N * mean_loss(p), start.params, optax.sgd(0.001), 7)
    assert_close(end.params, jax.tree.map(lambda leaf: leaf[-1], total.points), 1e-5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            (bowl, {"x": 3, "y": jnp.ones(2)}, optax.sgd(0.1), 5),
            r"start\['x'\] is int32.*write 1.0",
        ),
        ((lambda p: p, jnp.ones(2), optax.sgd(0.1), 5), r"a scalar, but got .*\(2,\).*average"),
        ((jnp.sum, jnp.ones(2), optax.sgd(0.1), 0), "positive integer, but got 0"),
    ],
    ids=["integer start", "no scalar", "no steps"],
)
def test_a_wrong_descent_is_refused_with_the_cure(arguments, message):
    with pytest.raises(RunError, match=message):
        descend(*arguments)
