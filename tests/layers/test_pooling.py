"""Pooling: results by hand, stochastic pooling, and errors."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, normal

from jaxnets import LayerError, avg_pool, global_avg_pool, max_pool, stochastic_pool, sum_pool

SQUARE = np.array([[12, 20, 30, 0], [8, 12, 2, 0], [34, 70, 37, 4], [112, 100, 25, 12]])
WINDOW = np.array([1.0, 2.0, 0.0, 5.0, -3.0, 2.5])  # one window of 2 x 3
PROBABILITIES = np.array([1.0, 2.0, 0.0, 5.0, 0.0, 2.5]) / 10.5


def as_image(rows):
    return jnp.asarray(rows, jnp.float32)[None, ..., None]


def in_windows(values, batch=1):
    """A batch of images, each of which is one window of 2 x 3 with these values."""
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
        (max_pool((2, 2)), [[20, 30], [112, 37]]),
        (avg_pool((2, 2)), [[13, 8], [79, 19.5]]),
        (sum_pool((2, 2)), [[52, 32], [316, 78]]),
        (max_pool((2, 2), strides=1), [[20, 30, 30], [70, 70, 37], [112, 100, 37]]),
        (max_pool((3, 3)), [[70]]),
        (avg_pool((3, 3), strides=3, padding="SAME"), [[13, 8], [79, 19.5]]),
        (max_pool((2, 1), padding=((1, 1), (0, 0))), [[12, 20, 30, 0], [34, 70, 37, 4], SQUARE[3]]),
    ],
    ids=["max", "mean", "sum", "overlapping", "remainder", "mean without padding", "padded"],
)
def test_pools_give_the_results_by_hand(pool, expected):
    np.testing.assert_array_equal(pool(as_image(SQUARE))[0, ..., 0], expected)


def test_padding_is_never_the_maximum():
    y = max_pool((3, 3), strides=1, padding="SAME")(as_image(-np.ones((2, 2))))
    np.testing.assert_array_equal(y, as_image(-np.ones((2, 2))))


@pytest.mark.parametrize("space", [(), (6,), (4, 6)])
def test_the_global_mean_is_over_every_spatial_axis(space):
    x = normal(2, *space, 3)
    expected = np.asarray(x).reshape(2, -1, 3).mean(1)
    np.testing.assert_allclose(global_avg_pool(x), expected, rtol=1e-6)


@pytest.mark.parametrize("make", [max_pool, avg_pool])
@pytest.mark.parametrize(
    ("window", "options", "message"),
    [
        (2, {}, r"one size per axis, as in \(2, 2\), but got 2"),
        ((2, 0), {}, "window to be a positive integer, but got 0"),
        ((2, 2.0), {}, "window to be a positive integer, but got 2.0"),
        ((2, 2), {"strides": -1}, "strides to be a positive integer, but got -1"),
        ((2, 2), {"strides": (2,)}, r"strides for 2 axes, but got \(2,\)"),
        ((2, 2), {"padding": "FULL"}, '"SAME", "VALID" or 2 .* but got \'FULL\''),
        (
            (2, 2),
            {"padding": ((0, 0), (0, -1))},
            "padding of at least 0, but got .*; crop",
        ),
        ((2, 2), {"padding": ((1, 1),)}, "2 .before, after. pairs, but got"),
        ((2, 2), {"dilation": 0}, "dilation to be a positive integer, but got 0"),
    ],
)
def test_invalid_arguments_are_errors(make, window, options, message):
    with pytest.raises(LayerError, match=rf"^{make.__name__} expects .*{message}"):
        make(window, **options)


@pytest.mark.parametrize("make", [max_pool, avg_pool])
def test_an_input_of_the_wrong_shape_is_an_error(make):
    name = rf"^{make.__name__}\(\(2, 2\)\) expects"
    with pytest.raises(LayerError, match=rf"{name} .* with 2 spatial axes, but got \(4, 4, 3"):
        make((2, 2))(normal(4, 4, 3))
    with pytest.raises(LayerError, match=rf"{name} an input of at least \(2, 2\) but got \(1, 4\)"):
        make((2, 2))(normal(1, 1, 4, 3))


@pytest.mark.parametrize("strides", [2, 1], ids=["tiling", "overlapping"])
def test_a_sum_or_mean_of_bytes_does_not_overflow(strides):
    x = jnp.asarray(SQUARE, jnp.uint8)[None, :, :, None]
    total = sum_pool((2, 2), strides=strides)(x)
    assert (total.dtype, total.max()) == (jnp.float32, 316)
    assert avg_pool((2, 2), strides=strides)(x).max() == 79


def test_sum_pool_is_the_sum_of_numpys_sliding_windows():
    x = normal(2, 6, 7, 3)
    padded = np.pad(x, ((0, 0), (1, 0), (0, 2), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 2), axis=(1, 2))[:, ::2, ::3]
    y = sum_pool((3, 2), strides=(2, 3), padding=((1, 0), (0, 2)))(x)
    assert_close(y, windows.sum((-2, -1)), 1e-6)


@pytest.mark.parametrize("pool", [max_pool, avg_pool, sum_pool])
def test_alexnets_pools_reduce_55_pixels_to_27_13_and_6(pool):
    sizes, shape = [], jax.ShapeDtypeStruct((1, 55, 55, 1), jnp.float32)
    for _ in range(3):
        shape = jax.eval_shape(pool((3, 3), strides=2), shape)
        sizes.append(shape.shape[1])
    assert sizes == [27, 13, 6]


def test_overlapping_windows_share_values():
    x = jnp.array([1.0, 2.0, 9.0, 3.0, 4.0]).reshape(1, 5, 1)
    np.testing.assert_array_equal(max_pool((3,), strides=2)(x).ravel(), [9, 9])
    np.testing.assert_array_equal(sum_pool((3,), strides=2)(x).ravel(), [12, 16])
    np.testing.assert_array_equal(max_pool((3,), strides=3)(x).ravel(), [9])


def test_stochastic_pooling_samples_in_proportion_to_the_values():
    n = 20_000
    y = np.asarray(trained(stochastic_pool((2, 3)), in_windows(WINDOW, n))).ravel()
    counts = np.array([(y == value).sum() for value in WINDOW])
    sigma = np.sqrt(n * PROBABILITIES * (1 - PROBABILITIES))
    assert counts.sum() == n
    assert (np.abs(counts - n * PROBABILITIES) <= 5 * sigma).all()


def test_windows_and_channels_are_sampled_independently():
    x = jnp.tile(in_windows(WINDOW, 500), (1, 3, 4, 5))  # 12 windows of 5 channels per image
    y = np.asarray(trained(stochastic_pool((2, 3)), x)).reshape(500, -1)
    agreement = (PROBABILITIES**2).sum()  # probability that two independent samples are equal
    sigma = np.sqrt(agreement * (1 - agreement) / 500)
    for other in range(1, y.shape[1]):
        assert abs((y[:, 0] == y[:, other]).mean() - agreement) <= 5 * sigma


def test_another_key_gives_another_sample():
    x, layer = jnp.abs(normal(1, 20, 20, 4)), stochastic_pool((2, 2))
    assert (trained(layer, x, 0) != trained(layer, x, 1)).mean() > 0.3


def test_evaluation_is_the_mean_of_training():
    expected = (PROBABILITIES * WINDOW).sum()
    layer, n = stochastic_pool((2, 3)), 20_000
    assert_close(evaluated(layer, in_windows(WINDOW)), np.full((1, 1, 1, 1), expected), 1e-6)
    sigma = np.sqrt(((PROBABILITIES * WINDOW**2).sum() - expected**2) / n)
    assert abs(trained(layer, in_windows(WINDOW, n)).mean() - expected) <= 5 * sigma


@pytest.mark.parametrize("values", [np.zeros(6), -np.arange(6.0)], ids=["zeros", "negative"])
@pytest.mark.parametrize("run", [trained, evaluated])
def test_a_window_without_positive_values_gives_0_with_gradient_0(run, values):
    layer, x = stochastic_pool((2, 3)), in_windows(values)
    assert run(layer, x) == 0
    np.testing.assert_array_equal(jax.grad(lambda x: run(layer, x).sum())(x), jnp.zeros_like(x))


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf])
@pytest.mark.parametrize("run", [trained, evaluated])
def test_values_that_are_not_finite_propagate(run, value):
    y = run(stochastic_pool((2, 3)), in_windows([1.0, value, 0.0, 5.0, 2.0, 3.0], 20))
    assert not jnp.isfinite(y).any()


def test_the_gradient_goes_to_the_sampled_value():
    layer, x = stochastic_pool((2, 3)), in_windows(WINDOW)
    gradient = jax.grad(lambda x: trained(layer, x).sum())(x)
    np.testing.assert_array_equal(gradient == 1, x == trained(layer, x))
    assert gradient.sum() == 1


@pytest.mark.parametrize("run", [trained, evaluated])
def test_padding_is_never_sampled(run):
    y = run(stochastic_pool((3, 3), strides=2, padding=((2, 2), (2, 2))), jnp.ones((4, 5, 5, 2)))
    np.testing.assert_array_equal(y, jnp.ones((4, 4, 4, 2)))


def test_bfloat16_is_sampled_with_the_precision_of_float32():
    x, layer = jnp.abs(normal(500, 2, 3, 4)).astype(jnp.bfloat16), stochastic_pool((2, 3))
    y = trained(layer, x)
    assert y.dtype == evaluated(layer, x).dtype == jnp.bfloat16
    np.testing.assert_array_equal(y, trained(layer, x.astype(jnp.float32)))


def test_stochastic_pooling_without_a_key_is_an_error_with_a_cure():
    with pytest.raises(LayerError, match=r"stochastic_pool needs a random key .*; pass key="):
        stochastic_pool((2, 2)).apply({}, {}, jnp.ones((1, 4, 4, 1)), train=True)


@pytest.mark.parametrize("pool", [sum_pool, lambda *a, **k: stochastic_pool(*a, **k)])
def test_sum_and_stochastic_pools_check_their_arguments(pool):
    for window, options in (
        ((2, 0), {}),
        (2, {}),
        ((2, 2), {"strides": -1}),
        ((2, 2), {"padding": 1}),
    ):
        with pytest.raises(LayerError, match="_pool expects"):
            pool(window, **options)


def test_a_window_larger_than_the_image_is_an_error_with_a_cure():
    message = (
        r"sum_pool\(\(5, 5\)\) expects an input of at least \(5, 5\) but got \(4, 4\).*smaller"
    )
    with pytest.raises(LayerError, match=message):
        sum_pool((5, 5))(jnp.ones((1, 4, 4, 1)))
