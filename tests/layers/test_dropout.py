"""Dropout: its statistics, both modes, custom masks, and errors."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, assert_same, normal

from jaxnets import LayerError, dropout, stochastic_depth

N = 1_000_000
FIGURE = jnp.array([[13, 9, 7, 4], [4, 16, 2, 5], [0, 6, 8, 19], [4, 7, 7, 5]], jnp.float32)
KEPT = jnp.array([[1, 0, 1, 1], [1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 1, 1]], bool)


def drop(rate, x, seed=0):
    y, state = dropout(rate).apply({}, {}, x, key=jax.random.key(seed), train=True)
    assert state == {}
    return y


def fixed_mask(key, keep, shape):
    del key, keep, shape
    return KEPT


@partial(jax.jit, static_argnums=0)
def trained(layer, x, seed=0):
    return layer.apply({}, {}, x, key=jax.random.key(seed), train=True)[0]


@partial(jax.jit, static_argnums=0)
def evaluated(layer, x):
    return layer.apply({}, {}, x)[0]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("rate", [0.001, 0.1, 0.5, 0.9])
def test_it_drops_a_fraction_of_rate_and_scales_the_rest_to_keep_the_mean(rate, dtype):
    y = np.asarray(drop(rate, jnp.ones(N, dtype)), np.float64)
    sigma = np.sqrt(rate * (1 - rate) / N)
    np.testing.assert_allclose(np.mean(y == 0), rate, atol=5 * sigma)
    zero, kept = np.unique(y)
    np.testing.assert_allclose(kept, 1 / (1 - rate), rtol=4 * jnp.finfo(dtype).eps)
    assert zero == 0


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


def test_the_rate_may_be_traced():
    x = normal(20, 5)
    assert_close(jax.jit(drop)(0.3, x), drop(0.3, x))


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, float("nan")])
def test_a_rate_outside_0_to_1_is_an_error(rate):
    with pytest.raises(LayerError, match=r"dropout expects rate in \[0, 1\), but got"):
        dropout(rate)


def test_the_rate_has_the_precision_of_the_input():
    with jax.enable_x64(True):
        y = np.asarray(drop(0.1, jnp.ones(100, jnp.float64)))
    np.testing.assert_allclose(y.max(), 1 / 0.9, rtol=1e-15)


def test_classic_dropout_gives_the_figure_of_the_deck():
    layer = dropout(0.3, mode="classic", mask=fixed_mask)
    expected = [[13, 0, 7, 4], [4, 0, 2, 0], [0, 6, 8, 0], [0, 0, 7, 5]]
    np.testing.assert_array_equal(trained(layer, FIGURE), expected)
    assert_close(evaluated(layer, FIGURE), 0.7 * np.asarray(FIGURE), 1e-6)


def test_inverted_dropout_scales_in_training_instead():
    layer = dropout(0.3, mask=fixed_mask)
    assert_close(trained(layer, FIGURE), np.where(KEPT, FIGURE, 0) / 0.7, 1e-6)
    assert_same(evaluated(layer, FIGURE), FIGURE)


def test_the_default_is_inverted_dropout_with_a_bernoulli_mask():
    explicit = dropout(0.4, mode="inverted", mask=jax.random.bernoulli)
    x = normal(50, 20)
    assert_same(trained(dropout(0.4), x), trained(explicit, x))


@pytest.mark.parametrize("mode", ["classic", "inverted"])
def test_training_equals_evaluation_on_average_in_both_modes(mode):
    rate, n = 0.3, 40_000
    layer, x = dropout(rate, mode=mode), jnp.full((n,), 2.0)
    y = trained(layer, x)
    sigma = float(y.max()) * np.sqrt(rate * (1 - rate) / n)
    assert abs(y.mean() - evaluated(layer, x).mean()) <= 5 * sigma
    assert abs((y == 0).mean() - rate) <= 5 * np.sqrt(rate * (1 - rate) / n)


def test_classic_and_inverted_drop_the_same_units_with_the_same_key():
    x = normal(30, 10)
    classic, inverted = (trained(dropout(0.5, mode=mode), x) for mode in ("classic", "inverted"))
    assert_close(classic * 2, inverted, 1e-6)


def test_a_mask_gets_the_key_the_keep_probability_and_the_shape():
    calls = []

    def mask(key, keep, shape):
        calls.append((jax.random.key_data(key).tolist(), float(keep), shape))
        return jnp.ones(shape, bool)

    key = jax.random.key(7)
    dropout(0.2, mask=mask).apply({}, {}, FIGURE, key=key, train=True)
    assert calls == [(jax.random.key_data(key).tolist(), pytest.approx(0.8), (4, 4))]


def test_a_mask_with_one_number_per_channel_drops_whole_channels():
    def by_channel(key, keep, shape):
        return jax.random.bernoulli(key, keep, (shape[0], 1, 1, shape[-1]))

    y = trained(dropout(0.5, mode="classic", mask=by_channel), jnp.ones((8, 5, 5, 4)))
    kept = y.mean((1, 2))
    assert set(np.unique(kept)) == {0, 1}


def test_the_rate_may_be_traced_in_classic_mode():
    x = jnp.ones((3, 4))
    y = jax.jit(lambda rate: evaluated(dropout(rate, mode="classic"), x))(0.25)
    assert_close(y, 0.75 * x, 1e-6)


@pytest.mark.parametrize("mode", ["classic", "inverted"])
def test_both_modes_keep_float_dtypes_and_return_floats_for_integers(mode):
    layer = dropout(0.3, mode=mode)
    half = FIGURE.astype(jnp.bfloat16)
    assert trained(layer, half).dtype == evaluated(layer, half).dtype == jnp.bfloat16
    integers = FIGURE.astype(jnp.int32)
    assert_same(trained(layer, integers), trained(layer, FIGURE))
    assert_close(
        jnp.asarray(evaluated(layer, integers), jnp.float32), evaluated(layer, FIGURE), 1e-6
    )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rate": -0.1}, r"rate in \[0, 1\), but got -0.1"),
        ({"rate": 1.0}, r"rate in \[0, 1\), but got 1.0"),
        ({"rate": 0.5, "mode": "clasic"}, 'mode "inverted" or "classic", but got \'clasic\''),
        (
            {"rate": 0.5, "mask": KEPT},
            "mask to be a function .*; for a fixed mask write mask=lambda",
        ),
    ],
)
def test_invalid_arguments_are_errors_at_construction(wrong, message):
    with pytest.raises(LayerError, match=f"dropout expects {message}"):
        dropout(**wrong)


@pytest.mark.parametrize("shape", [(4, 3), (4,), (1, 4, 4)])
def test_a_mask_of_the_wrong_shape_is_an_error_with_a_cure(shape):
    with pytest.raises(LayerError, match=r"a mask of shape \(.*but got \(4, 4\); return an"):
        trained(dropout(0.3, mask=fixed_mask), jnp.ones(shape))


@pytest.mark.parametrize("mode", ["classic", "inverted"])
def test_training_without_a_key_is_an_error_with_a_cure(mode):
    with pytest.raises(LayerError, match=r"dropout needs a random key in training, .*; pass key"):
        dropout(0.5, mode=mode).apply({}, {}, FIGURE, train=True)


def test_stochastic_depth_drops_whole_examples_and_keeps_the_mean():
    n = 10_000
    y = np.asarray(trained(stochastic_depth(0.3), jnp.ones((n, 2, 3))))
    kept = y[:, 0, 0] != 0
    np.testing.assert_array_equal(
        y, np.broadcast_to(kept[:, None, None] / np.float32(0.7), y.shape)
    )
    np.testing.assert_allclose(kept.mean(), 0.7, atol=5 * np.sqrt(0.3 * 0.7 / n))
    x = normal(4, 5)
    assert_same(evaluated(stochastic_depth(0.3), x), x)


def test_stochastic_depth_refuses_a_rate_outside_0_to_1():
    with pytest.raises(LayerError, match=r"stochastic_depth expects rate in \[0, 1\), but got 1.0"):
        stochastic_depth(1.0)
