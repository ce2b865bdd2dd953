"""Initialisers from `jax.nn.initializers`, through the layers that use them.

For normal draws, the relative error of the variance of N draws exceeds 5 sqrt(2 / N) once in a
million times; for uniform and truncated draws, whose tails are lighter, it does so more rarely.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import normal
from jax.nn import initializers as init

from jaxnets import conv, dense

N_IN, N_OUT = 300, 500
VARIANCES = {
    "glorot_normal": 2 / (N_IN + N_OUT),
    "glorot_uniform": 2 / (N_IN + N_OUT),
    "he_normal": 2 / N_IN,
    "he_uniform": 2 / N_IN,
    "lecun_normal": 1 / N_IN,
    "lecun_uniform": 1 / N_IN,
}
over_initialisers = pytest.mark.parametrize("name, variance", VARIANCES.items(), ids=VARIANCES)


def kernel_of(layer, n_in=N_IN):
    params, _ = layer.init(jax.random.key(0), jax.ShapeDtypeStruct((1, 8, 8, n_in), jnp.float32))
    return np.asarray(params["kernel"], np.float64)


def assert_variance(draws, expected):
    assert np.square(draws).mean() == pytest.approx(expected, rel=5 * np.sqrt(2 / draws.size))
    assert abs(draws.mean()) < 5 * np.sqrt(expected / draws.size)


@over_initialisers
def test_a_dense_kernel_has_the_published_variance(name, variance):
    assert_variance(kernel_of(dense(N_OUT, kernel_init=getattr(init, name)())), variance)


@pytest.mark.parametrize(
    "kernel_init, variance",
    [(init.glorot_uniform(), 2 / (300 + 600)), (init.he_uniform(), 2 / 300)],
    ids=["Glorot", "He"],
)
def test_a_convolution_counts_the_inputs_and_outputs_of_its_whole_window(kernel_init, variance):
    # 3 x 4 positions of 25 channels are 300 inputs; 3 x 4 positions of 50 channels are 600 outputs
    assert_variance(kernel_of(conv(50, (3, 4), kernel_init=kernel_init), 25), variance)


@pytest.mark.parametrize("name", ["glorot_uniform", "he_uniform", "lecun_uniform"])
def test_uniform_draws_fill_an_interval_evenly(name):
    draws = np.sort(kernel_of(dense(N_OUT, kernel_init=getattr(init, name)())).ravel())
    limit = np.sqrt(3 * VARIANCES[name])
    assert abs(draws).max() <= limit
    # Kolmogorov and Smirnov: beyond 2.5 / sqrt(N) once in 100,000 times
    evenly = np.linspace(-limit, limit, draws.size)
    assert abs(draws - evenly).max() / (2 * limit) < 2.5 / np.sqrt(draws.size)


@pytest.mark.parametrize("name", ["glorot_normal", "he_normal", "lecun_normal"])
def test_normal_draws_are_cut_off_beyond_two_standard_deviations(name):
    draws = kernel_of(dense(N_OUT, kernel_init=getattr(init, name)()))
    before_the_cut = np.sqrt(VARIANCES[name]) / 0.87962566103423978
    assert 1.99 * before_the_cut < abs(draws).max() <= 2 * before_the_cut * (1 + 1e-6)


def test_the_default_of_dense_and_conv_is_lecun_normal_and_no_bias():
    assert_variance(kernel_of(dense(N_OUT)), 1 / N_IN)
    assert_variance(kernel_of(conv(50, (3, 4)), 25), 1 / N_IN)
    params, _ = dense(5).init(jax.random.key(0), jnp.ones((1, 3)))
    assert not params["bias"].any()


@pytest.mark.parametrize("n_in, n_out", [(60, 40), (40, 60)])
def test_an_orthogonal_kernel_has_orthonormal_columns_or_rows(n_in, n_out):
    kernel = kernel_of(dense(n_out, kernel_init=init.orthogonal()), n_in)
    gram = kernel.T @ kernel if n_in >= n_out else kernel @ kernel.T
    np.testing.assert_allclose(gram, np.eye(min(n_in, n_out)), atol=1e-5)


def test_zeros_are_zeros():
    assert not kernel_of(dense(7, kernel_init=init.zeros)).any()


@pytest.mark.parametrize(
    "mode, width, forward, backward",
    [
        ("fan_in", N_OUT, 1.0, N_OUT / N_IN),
        ("fan_out", N_OUT, N_IN / N_OUT, 1.0),
        ("fan_avg", N_IN, 1.0, 1.0),
    ],
)
def test_variance_scaling_preserves_the_variance_in_the_chosen_direction(
    mode, width, forward, backward
):
    # S0, "Xavier initialisation": forward requires tau = n_in, backward tau = n_out
    layer = dense(width, kernel_init=init.variance_scaling(1.0, mode, "uniform"))
    params, state = layer.init(jax.random.key(0), jnp.ones((1, N_IN)))
    x, g = normal(2000, N_IN), normal(2000, width, seed=1)
    y, pull = jax.vjp(lambda x: layer.apply(params, state, x)[0], x)
    assert np.var(y) == pytest.approx(forward, rel=0.03)
    assert np.var(pull(g)[0]) == pytest.approx(backward, rel=0.03)
