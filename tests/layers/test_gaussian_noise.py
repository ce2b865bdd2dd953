"""Gaussian noise in training."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_same, normal

from jaxnets import LayerError, gaussian_noise


@partial(jax.jit, static_argnums=0)
def trained(layer, x, seed=0):
    return layer.apply({}, {}, x, key=jax.random.key(seed), train=True)[0]


def test_the_noise_has_mean_0_the_given_standard_deviation_and_normal_moments():
    n, std = 100_000, 0.7
    x = normal(n)
    noise = np.asarray(trained(gaussian_noise(std), x) - x, np.float64) / std
    for power, moment, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        # The last number is the variance of noise^power for a standard normal.
        assert abs((noise**power).mean() - moment) <= 5 * np.sqrt(spread / n)
    lag = (noise[1:] * noise[:-1]).mean()
    assert abs(lag) <= 5 / np.sqrt(n)


def test_evaluation_is_the_identity_and_needs_no_key():
    x = normal(3, 4)
    assert_same(gaussian_noise(1.0).apply({}, {}, x)[0], x)


def test_a_standard_deviation_of_0_is_the_identity():
    x = normal(3, 4)
    assert_same(trained(gaussian_noise(0.0), x), x)


def test_another_key_gives_other_noise():
    x = normal(3, 4)
    assert (trained(gaussian_noise(0.1), x, 0) != trained(gaussian_noise(0.1), x, 1)).all()


def test_the_standard_deviation_may_be_traced_and_differentiated():
    x = normal(3, 4)

    def total(std):
        return trained(gaussian_noise(std), x).sum()

    noise = trained(gaussian_noise(1.0), jnp.zeros_like(x))
    np.testing.assert_allclose(jax.jit(jax.grad(total))(0.3), noise.sum(), rtol=1e-5)


def test_bfloat16_stays_bfloat16_with_a_traced_standard_deviation():
    x = normal(3, 4).astype(jnp.bfloat16)
    y = jax.jit(lambda std: trained(gaussian_noise(std), x))(jnp.float32(0.3))
    assert y.dtype == jnp.bfloat16


@pytest.mark.parametrize("std", [-0.1, float("nan")])
def test_a_negative_standard_deviation_is_refused(std):
    with pytest.raises(LayerError, match="gaussian_noise expects std of at least 0, but got"):
        gaussian_noise(std)


def test_training_without_a_key_is_refused_with_the_cure():
    with pytest.raises(LayerError, match=r"gaussian_noise needs a random key .*; pass key="):
        gaussian_noise(0.1).apply({}, {}, jnp.ones(3), train=True)
