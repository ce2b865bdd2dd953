"""The Heaviside step function and PReLU."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, normal

from jaxnets import LayerError, heaviside, prelu

SLOPES = {"slope": jnp.array([0.1, -2.0, 3.0])}


def test_heaviside_is_1_above_0_and_0_elsewhere():
    y = heaviside(jnp.array([-2.0, -1e-30, -0.0, 0.0, 1e-30, 3.0, jnp.inf]))
    np.testing.assert_array_equal(y, [0, 0, 0, 0, 1, 1, 1])


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(jnp.int32, jnp.float32), (jnp.float32, jnp.float32), (jnp.bfloat16, jnp.bfloat16)],
)
def test_heaviside_returns_floats(dtype, expected):
    y = heaviside(jnp.array([-1, 0, 2], dtype))
    assert y.dtype == expected
    np.testing.assert_array_equal(y, [0, 0, 1])


def test_heaviside_has_gradient_0():
    np.testing.assert_array_equal(jax.grad(lambda x: heaviside(x).sum())(normal(5)), jnp.zeros(5))


def test_prelu_is_the_identity_above_0_and_slope_times_x_below():
    x = normal(4, 5, 6, 3)
    slopes = np.array([0.1, -2.0, 3.0])
    y, _ = prelu().apply(SLOPES, {}, x)
    assert_close(y, np.maximum(x, 0) + slopes * np.minimum(x, 0), 1e-6)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 5, 4, 3)])
def test_prelu_has_one_slope_per_channel_initialised_to_a_quarter(shape):
    params, state = prelu().init(jax.random.key(0), jax.ShapeDtypeStruct(shape, jnp.float32))
    np.testing.assert_array_equal(params["slope"], [0.25, 0.25, 0.25])
    assert (params.keys(), state) == ({"slope"}, {})


def test_prelu_initialises_the_slope_to_its_argument():
    params, _ = prelu(slope=0.01).init(jax.random.key(0), jnp.ones((2, 3)))
    y, _ = prelu().apply(params, {}, jnp.array([[-100.0, 100.0, 0.0]]))
    assert_close(y, jnp.array([[-1.0, 100.0, 0.0]]), 1e-6)


def test_the_gradient_of_a_slope_is_the_sum_of_its_channels_negative_values():
    x, weight = normal(4, 5, 3), normal(4, 5, 3, seed=1)

    def loss(params):
        return (weight * prelu().apply(params, {}, x)[0]).sum()

    expected = np.where(np.asarray(x) < 0, np.asarray(weight) * np.asarray(x), 0).sum((0, 1))
    assert_close(jax.grad(loss)(SLOPES), {"slope": expected}, 1e-5)


def test_training_recovers_the_slope_of_the_data():
    x = normal(200, 2)
    target = jnp.where(x >= 0, x, x * jnp.array([[0.5, -0.3]]))

    @jax.jit
    @jax.grad
    def gradient(params):
        return ((prelu().apply(params, {}, x)[0] - target) ** 2).mean()

    params, _ = prelu().init(jax.random.key(0), x)
    for _ in range(60):
        params = jax.tree.map(lambda p, g: p - g, params, gradient(params))
    assert_close(params, {"slope": jnp.array([0.5, -0.3])}, 1e-3)


def test_prelu_refuses_the_wrong_number_of_channels():
    with pytest.raises(LayerError, match=r"prelu\(\) expects \(..., 3\) but got \(2, 4\); call"):
        prelu().apply(SLOPES, {}, jnp.ones((2, 4)))


@pytest.mark.parametrize(
    ("shared_axes", "shape"),
    [((), (5, 4, 3)), ((1,), (1, 4, 3)), ((1, 2), (1, 1, 3)), ((1, 2, 3), (1, 1, 1))],
)
def test_prelu_shares_slopes_along_the_given_axes_of_an_example(shared_axes, shape):
    layer, x = prelu(shared_axes=shared_axes), normal(2, 5, 4, 3)
    params, _ = layer.init(jax.random.key(0), x)
    assert params["slope"].shape == shape
    slopes = normal(*shape, seed=1)
    y, _ = layer.apply({"slope": slopes}, {}, x)
    x, slopes = np.asarray(x), np.asarray(slopes)
    assert_close(y, np.where(x >= 0, x, slopes * x), 1e-6)


def test_prelu_refuses_axes_that_cannot_be_shared_and_inputs_of_another_shape():
    for axes in ((0,), (3,), (-1,), (1.5,)):
        with pytest.raises(LayerError, match=r"shared_axes from 1 to 2 for \(2, 5, 3\), but got"):
            prelu(shared_axes=axes).init(jax.random.key(0), normal(2, 5, 3))
    with pytest.raises(LayerError, match=r"slopes \(5, 3\) but got \(2, 4, 3\); call init"):
        prelu(shared_axes=()).apply({"slope": normal(5, 3)}, {}, normal(2, 4, 3))
