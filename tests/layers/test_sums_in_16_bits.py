"""No layer sums in 16 bits: in bfloat16, 256 + 1 is 256."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_same, normal

from jaxnets import (
    avg_pool,
    batch_norm,
    conv,
    conv_transpose,
    dense,
    depthwise_conv,
    embedding,
    global_avg_pool,
    group_norm,
    layer_norm,
    max_pool,
    network,
    prelu,
    rms_norm,
    scan_over_time,
    squeeze_and_excitation,
    stochastic_pool,
    sum_pool,
)

HALVES = pytest.mark.parametrize("half", [jnp.bfloat16, jnp.float16])
N = 3000  # more than either dtype can count to in steps of 1


def ones(*shape, dtype=jnp.bfloat16):
    return jax.device_put(np.ones(shape, dtype))


@HALVES
@pytest.mark.parametrize("strides", [20, 1], ids=["tiling", "overlapping"])
@pytest.mark.parametrize("padding", ["VALID", ((0, 0), (0, 3))], ids=["inside", "padded"])
@pytest.mark.parametrize(("pool", "expected"), [(avg_pool, 1), (sum_pool, 400)])
def test_a_sum_or_mean_of_ones_is_exact(pool, expected, strides, padding, half):
    pooled = jax.jit(pool((20, 20), strides=strides, padding=padding))
    y = pooled(ones(1, 20, 20, 2, dtype=half))
    assert (y.dtype, y[0, 0, 0].tolist()) == (half, [expected] * 2)


@HALVES
def test_the_maximum_of_many_windows_gets_the_gradients_of_all(half):
    x = np.zeros((1, 2 * N - 1, 1), half)
    x[0, N - 1] = 1

    @jax.jit
    def run(x):
        y, pull = jax.vjp(max_pool((N,), strides=1), x)
        return pull(jnp.ones_like(y))[0]

    assert np.asarray(run(x))[0, N - 1, 0] == np.asarray(N, half)


def test_a_value_in_many_windows_gets_the_gradients_of_all():
    layer, x = stochastic_pool((9,), strides=1), jnp.zeros((1, 17, 1), jnp.bfloat16)
    x = x.at[0, 8].set(1)
    # The sampled value is the only one above 0: it gets the gradient of each window in
    # turn.
    g = ones(1, 9, 1).at[0, 0].set(256).at[0, 8].set(256)

    @jax.jit
    def run(x, g):
        return jax.vjp(lambda x: layer.apply({}, {}, x)[0], x)[1](g)[0]

    assert run(x, g)[0, 8, 0] == 520  # 256 + 7 + 256, rounded once


@pytest.mark.parametrize("x", [ones(2, N, 1), np.ones((2, N, 1), jnp.bfloat16)], ids=["jax", "np"])
def test_the_global_mean_of_ones_is_one(x):
    y = global_avg_pool(x)
    assert_same(y, ones(2, 1))


def gradient_of_ones(layer, params, x):
    """The gradient of the sum of the outputs with respect to the params."""

    @jax.jit
    def run(params, x):
        y, pull = jax.vjp(lambda params: layer.apply(params, {}, x)[0], params)
        return pull(jnp.ones_like(y))[0]

    return run(params, x)


BIASED = {
    "dense": (dense(1), ones(1, 1), (N, 1)),
    "dense over positions": (dense(1), ones(1, 1), (60, 50, 1)),
    "conv": (conv(1, (1,)), ones(1, 1, 1), (60, 50, 1)),
    "conv over images": (conv(1, (1, 1)), ones(1, 1, 1, 1), (30, 10, 10, 1)),
    "conv_transpose": (conv_transpose(1, (1, 1)), ones(1, 1, 1, 1), (30, 10, 10, 1)),
    "depthwise_conv": (depthwise_conv((1, 1)), ones(1, 1, 1, 1), (30, 10, 10, 1)),
}


@HALVES
@pytest.mark.parametrize(("layer", "kernel", "shape"), BIASED.values(), ids=BIASED)
def test_kernel_and_bias_sum_the_gradients_of_all_examples(layer, kernel, shape, half):
    params = {"kernel": kernel.astype(half), "bias": ones(1, dtype=half)}
    for gradient in gradient_of_ones(layer, params, ones(*shape, dtype=half)).values():
        assert (gradient.dtype, gradient.item()) == (half, jnp.asarray(N, half))


@pytest.mark.parametrize("layer", [batch_norm(), layer_norm(), group_norm(1)])
def test_scale_and_bias_of_a_norm_sum_the_gradients_of_all_examples(layer):
    params = {"scale": ones(2), "bias": ones(2)}
    state = {"mean": jnp.full(2, -1.0), "var": jnp.ones(2)}
    x = jnp.tile(jnp.asarray([1.0, -1.0], jnp.bfloat16), (N, 1))

    @jax.jit
    def run(params):
        y, pull = jax.vjp(lambda params: layer.apply(params, state, x)[0], params)
        return y, pull(jnp.ones_like(y))[0]

    y, gradient = run(params)
    assert (gradient["bias"] == jnp.asarray(N, jnp.bfloat16)).all()
    total = (np.asarray(y, np.float64) - 1).sum(0)  # of the normalised inputs
    np.testing.assert_allclose(gradient["scale"].astype(jnp.float32), total, rtol=2**-8)


def test_the_slope_of_prelu_sums_the_gradients_of_all_examples():
    gradient = gradient_of_ones(prelu(), {"slope": ones(1)}, -ones(60, 50, 1))
    assert gradient["slope"].item() == jnp.asarray(-N, jnp.bfloat16)


def test_the_factors_of_an_excitation_sum_the_gradients_of_all_pixels():
    layer = squeeze_and_excitation(1)
    params = {name: {"kernel": ones(1, 1), "bias": ones(1)} for name in ("squeeze", "excite")}
    gradient = gradient_of_ones(layer, params, ones(1, N, 1))
    factor = 1 / (1 + np.exp(-3.0))  # of 1 + 1 and again + 1
    expected = N * factor * (1 - factor)
    np.testing.assert_allclose(float(gradient["excite"]["bias"][0]), expected, rtol=2**-8)


@HALVES
def test_a_row_of_an_embedding_sums_the_gradients_of_all_look_ups(half):
    table = {"embedding": ones(2, 1, dtype=half)}
    gradient = gradient_of_ones(embedding(2, 1), table, jnp.zeros(N, jnp.int32))
    assert gradient["embedding"].ravel().tolist() == [jnp.asarray(N, half), 0]


def test_the_channels_of_a_depthwise_input_sum_the_gradients_of_all_kernels():
    layer, x = depthwise_conv((1,), multiplier=N, use_bias=False), ones(1, 1, 1)
    params = {"kernel": ones(1, 1, N)}
    y, pull = jax.vjp(jax.jit(lambda x: layer.apply(params, {}, x)[0]), x)
    assert pull(jnp.ones_like(y))[0].item() == jnp.asarray(N, jnp.bfloat16)


@HALVES
def test_weights_of_a_recurrent_layer_sum_the_gradients_of_all_steps(half):
    @network(fc=dense(1))
    def cell(carry_and_x, *, fc):
        carry, x = carry_and_x
        return carry, fc(x)

    layer = scan_over_time(cell, lambda x: x)
    params = {"fc": {"kernel": ones(1, 1, dtype=half), "bias": ones(1, dtype=half)}}
    gradient = gradient_of_ones(layer, params, ones(1, N, 1, dtype=half))["fc"]
    assert [g.item() for g in gradient.values()] == [jnp.asarray(N, half)] * 2


MATMULS = {
    "dense": (dense(2, use_bias=False), (N, 2), (1, N)),
    "conv": (conv(2, (1,), use_bias=False), (1, N, 2), (1, 1, N)),
    "conv in groups": (conv(2, (1,), groups=2, use_bias=False), (1, N, 2), (1, 1, 2 * N)),
    "conv of four taps": (
        conv(2, (2, 2), padding="VALID", use_bias=False),
        (2, 2, N // 4, 2),
        (1, 2, 2, N // 4),
    ),
    "conv_transpose": (conv_transpose(2, (1,), use_bias=False), (1, 2, N), (1, 1, N)),
}


@HALVES
@pytest.mark.parametrize(("layer", "kernel", "shape"), MATMULS.values(), ids=MATMULS)
def test_an_output_is_the_sum_of_every_input(layer, kernel, shape, half):
    params = {"kernel": ones(*kernel, dtype=half)}
    y, _ = jax.jit(layer.apply)(params, {}, ones(*shape, dtype=half))
    assert y.ravel().tolist() == [jnp.asarray(N, half)] * 2


TAPS = {
    "conv_transpose": (conv_transpose(1, (9,), padding="VALID", use_bias=False), 1),
    "depthwise_conv": (depthwise_conv((9,), padding="VALID", use_bias=False), 2),
}


@HALVES
@pytest.mark.parametrize(("layer", "channels"), TAPS.values(), ids=TAPS)
def test_an_output_is_the_sum_over_every_tap(layer, channels, half):
    most = 2 / jnp.finfo(half).eps  # most + 1 is most
    kernel = np.ones((9, 1, channels), half)
    kernel[0] = most
    y, _ = jax.jit(layer.apply)({"kernel": kernel}, {}, ones(1, 9, channels, dtype=half))
    assert np.asarray(y).max() == most + 8


def test_the_mean_square_of_ones_is_one():
    layer, x = rms_norm(epsilon=0.0), ones(2, N)
    assert_same(layer.apply({"scale": ones(N)}, {}, x)[0], x)


@pytest.mark.parametrize("norm", [batch_norm(), layer_norm(), group_norm(1)])
def test_the_statistics_of_a_norm_are_those_of_float32(norm):
    """Far from 0, where bfloat16 has steps of 1/2 and a mean in bfloat16 would differ."""
    x = (100 + normal(64, 8)).astype(jnp.bfloat16)
    params, state = norm.init(jax.random.key(0), x)
    y, new_state = jax.jit(partial(norm.apply, train=True))(params, state, x)
    values, axis = np.asarray(x, np.float64), 0 if state else -1
    mean, var = values.mean(axis, keepdims=True), values.var(axis, keepdims=True)
    exact = (values - mean) / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(y.astype(jnp.float32), exact, rtol=2**-8, atol=1e-4)
    if state:
        np.testing.assert_allclose(new_state["mean"], 0.01 * mean[0], rtol=1e-5)
        np.testing.assert_allclose(new_state["var"], 0.99 + 0.01 * var[0], rtol=1e-5)
