"""S0, day 2, "Convolutions for time series": the deck has only this title, without claims.

The tested claims are from Wang, Yan & Oates 2017 and van den Oord et al. 2016, "WaveNet".
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_close, normal
from jax.nn import relu

from jaxnets import conv, dense, global_avg_pool, inspect, losses, metrics, serial
from jaxnets.data import fit_standard, windows
from jaxnets.training import evaluate, fit, make_train_step, predict_outputs


def filtered(series, kernel, padding="VALID"):
    layer = conv(1, (len(kernel),), padding=padding, use_bias=False)
    kernel, series = (np.asarray(values, np.float32) for values in (kernel, series))
    params = {"kernel": kernel[:, None, None]}
    return np.asarray(jax.jit(layer.apply)(params, {}, series[None, :, None])[0][0, :, 0])


def test_a_convolution_along_time_is_a_moving_weighted_sum():
    series = np.random.default_rng(0).normal(size=20)
    for kernel in ([1 / 3] * 3, [1, -1], [1, -2, 1, 4]):
        expected = np.correlate(series, kernel, mode="valid")
        np.testing.assert_allclose(filtered(series, kernel), expected, atol=1e-5)


def test_a_kernel_of_differences_finds_a_jump_wherever_it_is():
    for place in (3, 11):
        series = np.where(np.arange(15) < place, 1.0, 4.0)
        np.testing.assert_array_equal(filtered(series, [-1, 1]).nonzero()[0], [place - 1])


def test_a_shift_in_time_shifts_the_features_and_not_their_mean():
    """Parameters are shared along time, and global pooling discards the position."""
    bump = np.array([1.0, 5, 2])
    early, late = np.zeros(20), np.zeros(20)
    early[4:7], late[12:15] = bump, bump
    first, second = (filtered(x, [1, 2, -1]) for x in (early, late))
    np.testing.assert_array_equal(np.roll(first, 8), second)
    assert float(first.mean()) == float(second.mean())


@pytest.mark.parametrize(("size", "depth"), [(2, 4), (3, 3)])
def test_doubling_the_dilation_makes_the_receptive_field_grow_exponentially(size, depth):
    """WaveNet, figure 3: with kernels of 2 and dilations 1, 2, 4, 8 it is 16 values."""
    layers = [
        (f"conv{i}", conv(1, (size,), padding="CAUSAL", dilation=2**i, use_bias=False))
        for i in range(depth)
    ]
    model, field = serial(*layers), 1 + (size - 1) * (2**depth - 1)
    params = {name: {"kernel": jnp.ones((size, 1, 1))} for name, _ in layers}

    def last(x):
        return model.apply(params, {}, x[None, :, None])[0][0, -1, 0]

    depends = np.asarray(jax.jit(jax.grad(last))(np.zeros(2 * field, np.float32))) != 0
    np.testing.assert_array_equal(depends.nonzero()[0], np.arange(field, 2 * field))


def two_waves(n, seed):
    """Series with a slow or a fast wave of any phase, and noise: no fixed time is informative."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    at, phase = np.arange(32), rng.uniform(0, 2 * np.pi, (n, 1))
    x = np.sin(np.where(y, 1.2, 0.6)[:, None] * at + phase) + 0.2 * rng.normal(size=(n, 32))
    return x[..., None].astype(np.float32), y.astype(np.int32)


def test_convolutions_classify_series_that_a_linear_model_cannot():
    train, test = two_waves(192, seed=0), two_waves(96, seed=1)
    stages = [("conv", conv(8, (5,))), relu, ("pool", global_avg_pool), ("head", dense(2))]
    accuracy = {}
    for name, model in {
        "linear": serial(lambda x: x[..., 0], ("head", dense(2))),
        "convolutional": serial(*stages),
    }.items():
        step = make_train_step(
            model,
            optax.adam(0.02),
            losses.softmax_cross_entropy,
            metrics={"accuracy": metrics.accuracy},
        )
        result = fit(step, train, key=jax.random.key(0), epochs=15, batch_size=32)
        accuracy[name] = evaluate(step, result.train_state, test)["accuracy"]
    assert accuracy["convolutional"] > 0.9 > 0.7 > accuracy["linear"]


def test_the_class_activation_map_shows_when_the_evidence_is_there():
    """Wang et al. 2017, section II.B: w_c times the last maps; here rectified and divided by 12."""
    model = serial(
        ("conv", conv(2, (3,), use_bias=False)),
        ("relu", relu),
        ("pool", global_avg_pool),
        ("head", dense(2)),
    )
    x = normal(1, 12, 1)
    params, _ = jax.jit(model.init)(jax.random.key(0), x)
    maps = inspect.class_activation(model, params, {}, x, jnp.array([1]), "relu")
    outputs = np.asarray(inspect.activations(model, params, {}, x)["relu"])
    expected = np.maximum(outputs @ np.asarray(params["head"]["kernel"])[:, 1], 0) / 12
    assert_close(maps, expected)


def test_a_network_without_a_hidden_layer_forecasts_like_least_squares():
    """Linear autoregression is the network to beat; windows are its examples."""
    rng = np.random.default_rng(0)
    series = np.convolve(rng.normal(size=420), [0.9**i for i in range(20)], mode="valid")
    scaling = fit_standard(series[:300])
    train = windows(scaling.apply(series[:300]), past=4, future=1)
    test = windows(scaling.apply(series[300:]), past=4, future=1)
    design = np.c_[train.x, np.ones(len(train.x))]
    weights, *_ = np.linalg.lstsq(design, train.y, rcond=None)
    step = make_train_step(serial(("head", dense(1))), optax.adam(0.03), losses.squared_error)
    data = (train.x.astype(np.float32), train.y.astype(np.float32))
    result = fit(step, data, key=jax.random.key(0), steps=600, batch_size=len(train.x))
    forecast = predict_outputs(step, result.train_state, test.x.astype(np.float32))
    np.testing.assert_allclose(forecast, np.c_[test.x, np.ones(len(test.x))] @ weights, atol=0.05)
    assert np.mean((forecast - test.y) ** 2) < np.mean(
        (test.x[:, -1:] - test.y) ** 2
    )  # persistence
