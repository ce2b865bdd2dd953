"""Sum pooling, overlapping pooling, and pooling by chance."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, normal

from jaxnets import LayerError, avg_pool, max_pool, stochastic_pool, sum_pool

DECK = jnp.array([[12, 20, 30, 0], [8, 12, 2, 0], [34, 70, 37, 4], [112, 100, 25, 12]])
WINDOW = np.array([1.0, 2.0, 0.0, 5.0, -3.0, 2.5])  # one window of 2 x 3
SHARES = np.array([1.0, 2.0, 0.0, 5.0, 0.0, 2.5]) / 10.5


def in_windows(values, batch=1):
    """A batch of images, each one window of 2 x 3 with the values."""
    return jnp.tile(jnp.asarray(values, jnp.float32).reshape(1, 2, 3, 1), (batch, 1, 1, 1))


@partial(jax.jit, static_argnums=0)
def trained(layer, x, seed=0):
    return layer.apply({}, {}, x, key=jax.random.key(seed), train=True)[0]


@partial(jax.jit, static_argnums=0)
def evaluated(layer, x):
    return layer.apply({}, {}, x)[0]


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (max_pool, [[20, 30], [112, 37]]),
        (avg_pool, [[13, 8], [79, 19.5]]),
        (sum_pool, [[52, 32], [316, 78]]),
    ],
)
def test_the_pools_of_the_deck_give_its_numbers(pool, expected):
    y = pool((2, 2))(DECK.astype(jnp.float32)[None, :, :, None])
    np.testing.assert_array_equal(y[0, :, :, 0], expected)


@pytest.mark.parametrize("strides", [2, 1], ids=["tiling", "overlapping"])
def test_a_sum_or_mean_of_bytes_is_not_cut_off_at_255(strides):
    x = DECK.astype(jnp.uint8)[None, :, :, None]
    total = sum_pool((2, 2), strides=strides)(x)
    assert (total.dtype, total.max()) == (jnp.float32, 316)
    assert avg_pool((2, 2), strides=strides)(x).max() == 79


def test_sum_pool_adds_up_the_windows_of_numpy_and_padding_adds_nothing():
    x = normal(2, 6, 7, 3)
    padded = np.pad(x, ((0, 0), (1, 0), (0, 2), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 2), axis=(1, 2))[:, ::2, ::3]
    y = sum_pool((3, 2), strides=(2, 3), padding=((1, 0), (0, 2)))(x)
    assert_close(y, windows.sum((-2, -1)), 1e-6)


@pytest.mark.parametrize("pool", [max_pool, avg_pool, sum_pool])
def test_alexnets_windows_of_3_at_steps_of_2_take_55_to_27_to_13_to_6(pool):
    sizes, shape = [], jax.ShapeDtypeStruct((1, 55, 55, 1), jnp.float32)
    for _ in range(3):
        shape = jax.eval_shape(pool((3, 3), strides=2), shape)
        sizes.append(shape.shape[1])
    assert sizes == [27, 13, 6]


def test_overlapping_windows_share_what_lies_between_them():
    x = jnp.array([1.0, 2.0, 9.0, 3.0, 4.0]).reshape(1, 5, 1)
    np.testing.assert_array_equal(max_pool((3,), strides=2)(x).ravel(), [9, 9])
    np.testing.assert_array_equal(sum_pool((3,), strides=2)(x).ravel(), [12, 16])
    np.testing.assert_array_equal(max_pool((3,), strides=3)(x).ravel(), [9])


def test_in_training_each_value_is_drawn_as_often_as_its_share_of_the_sum():
    n = 20_000
    y = np.asarray(trained(stochastic_pool((2, 3)), in_windows(WINDOW, n))).ravel()
    counts = np.array([(y == value).sum() for value in WINDOW])
    sigma = np.sqrt(n * SHARES * (1 - SHARES))
    assert counts.sum() == n
    assert (np.abs(counts - n * SHARES) <= 5 * sigma).all()


def test_windows_and_channels_are_drawn_apart_from_each_other():
    x = jnp.tile(in_windows(WINDOW, 500), (1, 3, 4, 5))  # 12 windows of 5 channels an image
    y = np.asarray(trained(stochastic_pool((2, 3)), x)).reshape(500, -1)
    share = (SHARES**2).sum()  # how often two of them agree by chance
    sigma = np.sqrt(share * (1 - share) / 500)
    for other in range(1, y.shape[1]):
        assert abs((y[:, 0] == y[:, other]).mean() - share) <= 5 * sigma


def test_another_key_draws_other_values():
    x, layer = jnp.abs(normal(1, 20, 20, 4)), stochastic_pool((2, 2))
    assert (trained(layer, x, 0) != trained(layer, x, 1)).mean() > 0.3


def test_in_evaluation_it_is_the_mean_by_shares_which_training_has_on_average():
    expected = (SHARES * WINDOW).sum()
    layer, n = stochastic_pool((2, 3)), 20_000
    assert_close(evaluated(layer, in_windows(WINDOW)), np.full((1, 1, 1, 1), expected), 1e-6)
    sigma = np.sqrt(((SHARES * WINDOW**2).sum() - expected**2) / n)
    assert abs(trained(layer, in_windows(WINDOW, n)).mean() - expected) <= 5 * sigma


@pytest.mark.parametrize("values", [np.zeros(6), -np.arange(6.0)], ids=["zeros", "negative"])
@pytest.mark.parametrize("run", [trained, evaluated])
def test_a_window_of_nothing_above_zero_gives_zero_with_a_gradient_of_zero(run, values):
    layer, x = stochastic_pool((2, 3)), in_windows(values)
    assert run(layer, x) == 0
    np.testing.assert_array_equal(jax.grad(lambda x: run(layer, x).sum())(x), jnp.zeros_like(x))


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
@pytest.mark.parametrize("run", [trained, evaluated])
def test_what_is_not_finite_is_not_lost(run, bad):
    y = run(stochastic_pool((2, 3)), in_windows([1.0, bad, 0.0, 5.0, 2.0, 3.0], 20))
    assert not jnp.isfinite(y).any()


def test_the_gradient_goes_to_the_value_that_was_drawn():
    layer, x = stochastic_pool((2, 3)), in_windows(WINDOW)
    gradient = jax.grad(lambda x: trained(layer, x).sum())(x)
    np.testing.assert_array_equal(gradient == 1, x == trained(layer, x))
    assert gradient.sum() == 1


@pytest.mark.parametrize("run", [trained, evaluated])
def test_padding_is_never_drawn(run):
    y = run(stochastic_pool((3, 3), strides=2, padding=((2, 2), (2, 2))), jnp.ones((4, 5, 5, 2)))
    np.testing.assert_array_equal(y, jnp.ones((4, 4, 4, 2)))


def test_bfloat16_is_drawn_as_finely_as_float32():
    x, layer = jnp.abs(normal(500, 2, 3, 4)).astype(jnp.bfloat16), stochastic_pool((2, 3))
    y = trained(layer, x)
    assert y.dtype == evaluated(layer, x).dtype == jnp.bfloat16
    np.testing.assert_array_equal(y, trained(layer, x.astype(jnp.float32)))


def test_training_without_a_key_says_which_to_pass():
    with pytest.raises(LayerError, match=r"stochastic_pool draws chance in training; pass key="):
        stochastic_pool((2, 2)).apply({}, {}, jnp.ones((1, 4, 4, 1)), train=True)


@pytest.mark.parametrize("pool", [sum_pool, lambda *a, **k: stochastic_pool(*a, **k)])
def test_wrong_windows_are_refused_at_construction(pool):
    for window, how in (((2, 0), {}), (2, {}), ((2, 2), {"strides": -1}), ((2, 2), {"padding": 1})):
        with pytest.raises(LayerError, match="_pool expects"):
            pool(window, **how)


def test_a_window_larger_than_the_image_says_so_with_a_cure():
    message = (
        r"sum_pool\(\(5, 5\)\) expects an input of at least \(5, 5\) but got \(4, 4\).*smaller"
    )
    with pytest.raises(LayerError, match=message):
        sum_pool((5, 5))(jnp.ones((1, 4, 4, 1)))
