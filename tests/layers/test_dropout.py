"""Dropout: its statistics, and misuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, assert_same, normal

from jaxnets import LayerError, dropout

N = 1_000_000


def drop(rate, x, seed=0):
    y, state = dropout(rate).apply({}, {}, x, key=jax.random.key(seed), train=True)
    assert state == {}
    return y


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.9])
def test_it_drops_the_rate_and_scales_the_rest_so_that_the_mean_stays(rate, dtype):
    y = np.asarray(drop(rate, jnp.ones(N, dtype)), np.float64)
    sigma = np.sqrt(rate * (1 - rate) / N)
    np.testing.assert_allclose(np.mean(y == 0), rate, atol=5 * sigma)
    np.testing.assert_allclose(np.unique(y)[-1], 1 / (1 - rate), rtol=4 * jnp.finfo(dtype).eps)
    assert len(np.unique(y)) == 2


def test_a_rate_of_zero_is_the_identity():
    x = normal(4, 5)
    assert_same(drop(0.0, x), x)


def test_evaluation_is_the_identity():
    x = normal(4, 5)
    assert_same(dropout(0.9).apply({}, {}, x), (x, {}))


def test_neighbours_drop_independently():
    kept = np.asarray(drop(0.5, jnp.ones((1000, 1000))) > 0, np.float64)
    for one, other in ((kept[1:], kept[:-1]), (kept[:, 1:], kept[:, :-1])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 5 / 1000


def test_a_traced_rate_serves_as_a_hyperparameter():
    x = normal(20, 5)
    assert_close(jax.jit(drop)(0.3, x), drop(0.3, x))


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan")])
def test_a_rate_outside_the_unit_interval_is_refused(rate):
    with pytest.raises(LayerError, match=r"dropout expects rate in \[0, 1\), but got"):
        dropout(rate)


def test_training_without_a_key_is_refused_with_the_cure():
    with pytest.raises(LayerError, match=r"chance in training; pass key=jax.random.key\(0\)"):
        dropout(0.5).apply({}, {}, normal(2), train=True)


def test_the_rate_has_the_digits_of_its_input():
    with jax.enable_x64(True):
        y = np.asarray(drop(0.1, jnp.ones(100, jnp.float64)))
    np.testing.assert_allclose(y.max(), 1 / 0.9, rtol=1e-15)
