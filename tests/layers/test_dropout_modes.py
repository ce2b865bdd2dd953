"""Dropout classic and inverted, and with a mask from outside."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, assert_same, normal

from jaxnets import LayerError, dropout

FIGURE = jnp.array([[13, 9, 7, 4], [4, 16, 2, 5], [0, 6, 8, 19], [4, 7, 7, 5]], jnp.float32)
KEPT = jnp.array([[1, 0, 1, 1], [1, 0, 1, 0], [1, 1, 1, 0], [0, 0, 1, 1]], bool)


def kept_in_the_figure(key, keep, shape):
    del key, keep, shape
    return KEPT


@partial(jax.jit, static_argnums=0)
def trained(layer, x, seed=0):
    return layer.apply({}, {}, x, key=jax.random.key(seed), train=True)[0]


@partial(jax.jit, static_argnums=0)
def evaluated(layer, x):
    return layer.apply({}, {}, x)[0]


def test_the_figure_of_the_deck_is_classic_dropout_with_its_mask():
    layer = dropout(0.3, mode="classic", mask=kept_in_the_figure)
    expected = [[13, 0, 7, 4], [4, 0, 2, 0], [0, 6, 8, 0], [0, 0, 7, 5]]
    np.testing.assert_array_equal(trained(layer, FIGURE), expected)
    assert_close(evaluated(layer, FIGURE), 0.7 * np.asarray(FIGURE), 1e-6)


def test_inverted_dropout_with_that_mask_scales_in_training_instead():
    layer = dropout(0.3, mask=kept_in_the_figure)
    assert_close(trained(layer, FIGURE), np.where(KEPT, FIGURE, 0) / 0.7, 1e-6)
    assert_same(evaluated(layer, FIGURE), FIGURE)


def test_inverted_with_a_mask_by_bernoulli_is_what_dropout_is_by_default():
    written_out = dropout(0.4, mode="inverted", mask=jax.random.bernoulli)
    x = normal(50, 20)
    assert_same(trained(dropout(0.4), x), trained(written_out, x))


@pytest.mark.parametrize("mode", ["classic", "inverted"])
def test_training_on_average_is_evaluation_in_either_mode(mode):
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


def test_a_mask_is_given_the_key_the_keep_probability_and_the_shape():
    seen = []

    def mask(key, keep, shape):
        seen.append((jax.random.key_data(key).tolist(), float(keep), shape))
        return jnp.ones(shape, bool)

    key = jax.random.key(7)
    dropout(0.2, mask=mask).apply({}, {}, FIGURE, key=key, train=True)
    assert seen == [(jax.random.key_data(key).tolist(), pytest.approx(0.8), (4, 4))]


def test_a_mask_that_draws_one_number_a_channel_drops_whole_channels():
    def by_channel(key, keep, shape):
        return jax.random.bernoulli(key, keep, (shape[0], 1, 1, shape[-1]))

    y = trained(dropout(0.5, mode="classic", mask=by_channel), jnp.ones((8, 5, 5, 4)))
    kept = y.mean((1, 2))
    assert set(np.unique(kept)) == {0, 1}


def test_the_rate_may_be_traced_in_classic_mode_too():
    x = jnp.ones((3, 4))
    y = jax.jit(lambda rate: evaluated(dropout(rate, mode="classic"), x))(0.25)
    assert_close(y, 0.75 * x, 1e-6)


@pytest.mark.parametrize("mode", ["classic", "inverted"])
def test_dtypes_stay_in_both_modes_and_integers_become_numbers_with_a_fraction(mode):
    layer = dropout(0.3, mode=mode)
    half = FIGURE.astype(jnp.bfloat16)
    assert trained(layer, half).dtype == evaluated(layer, half).dtype == jnp.bfloat16
    whole = FIGURE.astype(jnp.int32)
    assert_same(trained(layer, whole), trained(layer, FIGURE))
    assert_close(jnp.asarray(evaluated(layer, whole), jnp.float32), evaluated(layer, FIGURE), 1e-6)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rate": -0.1}, r"rate in \[0, 1\), but got -0.1"),
        ({"rate": 1.0}, r"rate in \[0, 1\), but got 1.0"),
        ({"rate": 0.5, "mode": "clasic"}, 'mode "inverted" or "classic", but got \'clasic\''),
        (
            {"rate": 0.5, "mask": KEPT},
            "mask to be a function .*; for fixed units write mask=lambda",
        ),
    ],
)
def test_wrong_arguments_are_refused_at_construction(wrong, message):
    with pytest.raises(LayerError, match=f"dropout expects {message}"):
        dropout(**wrong)


@pytest.mark.parametrize("shape", [(4, 3), (4,), (1, 4, 4)])
def test_a_mask_of_another_shape_is_refused_with_a_cure(shape):
    with pytest.raises(LayerError, match=r"a mask of shape \(.*but got \(4, 4\); draw it with"):
        trained(dropout(0.3, mask=kept_in_the_figure), jnp.ones(shape))


@pytest.mark.parametrize("mode", ["classic", "inverted"])
def test_training_without_a_key_says_which_to_pass(mode):
    with pytest.raises(LayerError, match=r"dropout draws chance in training; pass key=jax.random"):
        dropout(0.5, mode=mode).apply({}, {}, FIGURE, train=True)
