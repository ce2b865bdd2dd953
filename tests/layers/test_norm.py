"""Batch and layer normalisation against their formulas in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import normal

from jaxnets import LayerError, batch_norm, group_norm, instance_norm, layer_norm, rms_norm

x = 3 + 2 * normal(6, 5, 4, 3)
PARAMS = {"scale": normal(3, seed=1), "bias": normal(3, seed=2)}
STATE = {"mean": normal(3, seed=3), "var": jnp.exp(normal(3, seed=4))}


def normalised(x, mean, var, epsilon):
    scale, bias = (np.asarray(PARAMS[name], np.float64) for name in ("scale", "bias"))
    return scale * (x - np.asarray(mean)) / np.sqrt(var + epsilon) + bias


def test_batch_norm_trains_on_batch_statistics_and_updates_the_running_ones():
    values = np.asarray(x, np.float64)
    mean, var = values.mean((0, 1, 2)), values.var((0, 1, 2))
    y, after = batch_norm(decay=0.9, epsilon=0.1).apply(PARAMS, STATE, x, train=True)
    np.testing.assert_allclose(y, normalised(values, mean, var, 0.1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after["mean"], 0.9 * STATE["mean"] + 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(after["var"], 0.9 * STATE["var"] + 0.1 * var, rtol=1e-5)


def test_batch_norm_evaluates_with_the_running_statistics():
    y, _ = batch_norm(epsilon=0.1).apply(PARAMS, STATE, x)
    expected = normalised(np.asarray(x), STATE["mean"], STATE["var"], 0.1)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


def test_layer_norm_is_over_the_last_axis_of_each_example():
    values = np.asarray(x, np.float64)
    mean, var = values.mean(-1, keepdims=True), values.var(-1, keepdims=True)
    y, _ = layer_norm(epsilon=0.1).apply(PARAMS, {}, x)
    np.testing.assert_allclose(y, normalised(values, mean, var, 0.1), rtol=1e-4, atol=1e-5)


def test_the_variance_is_accurate_far_from_0():
    """With E[x^2] - E[x]^2 in float32 the variance would be lost."""
    far = 1000 + normal(64, 3)
    identity, first = batch_norm().init(jax.random.key(0), far)
    y, _ = batch_norm().apply(identity, first, far, train=True)
    np.testing.assert_allclose(np.std(y, axis=0), 1, rtol=1e-3)


def test_the_running_statistics_carry_no_gradient():
    def drift(x):
        _, after = batch_norm().apply(PARAMS, STATE, x, train=True)
        return after["mean"].sum() + after["var"].sum()

    assert not jax.grad(drift)(x).any()


@pytest.mark.parametrize("train", [False, True])
def test_bfloat16_stays_bfloat16_and_the_statistics_are_float32(train):
    y, after = batch_norm().apply(PARAMS, STATE, x.astype(jnp.bfloat16), train=train)
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in after.values()} == {jnp.dtype(jnp.float32)}
    assert layer_norm().apply(PARAMS, {}, x.astype(jnp.bfloat16))[0].dtype == jnp.bfloat16


@pytest.mark.parametrize("decay", [-0.1, 1.0, 2, float("nan")])
def test_decay_must_be_at_least_0_and_below_1(decay):
    with pytest.raises(LayerError, match=r"batch_norm expects decay in \[0, 1\), but got"):
        batch_norm(decay=decay)


@pytest.mark.parametrize("layer", [batch_norm(), layer_norm()], ids=["batch", "layer"])
def test_the_wrong_number_of_channels_is_refused_with_the_cure(layer):
    with pytest.raises(LayerError, match=r"_norm\(\) expects \(..., 3\) but got \(6, 4\); call"):
        layer.apply(PARAMS, STATE, normal(6, 4))
    with pytest.raises(LayerError, match=r"_norm\(\) expects params with 'scale' but got \[\]"):
        layer.apply({}, STATE, x)


def test_rms_norm_divides_by_the_root_mean_square_of_the_last_axis():
    values, scale = np.asarray(x, np.float64), np.asarray(PARAMS["scale"], np.float64)
    y, _ = rms_norm(epsilon=0.1).apply({"scale": PARAMS["scale"]}, {}, x)
    expected = scale * values / np.sqrt((values**2).mean(-1, keepdims=True) + 0.1)
    np.testing.assert_allclose(y, expected, rtol=1e-5)
    with pytest.raises(LayerError, match=r"rms_norm\(\) expects \(..., 3\) but got \(2, 4\); call"):
        rms_norm().apply({"scale": PARAMS["scale"]}, {}, jnp.ones((2, 4)))


def test_instance_norm_is_group_norm_with_one_channel_per_group():
    y, _ = instance_norm(epsilon=0.1).apply(PARAMS, {}, x)
    np.testing.assert_allclose(
        y, group_norm(3, epsilon=0.1).apply(PARAMS, {}, x)[0], rtol=1e-5, atol=1e-6
    )
    message = r"instance_norm\(\) expects \(batch, \*space, channels\) but got \(6, 3\)"
    with pytest.raises(LayerError, match=message):
        instance_norm().apply(PARAMS, {}, jnp.ones((6, 3)))
