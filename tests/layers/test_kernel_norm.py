"""Weight and spectral normalisation of a layer's kernel."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, assert_same, normal

from jaxnets import Layer, LayerError, conv, dense, serial, spectral_norm, weight_norm

x = normal(5, 4)
both = pytest.mark.parametrize("wrap", [weight_norm, spectral_norm])


@jax.jit
def trained(params, state):
    return spectral_norm(dense(3)).apply(params, state, x, train=True)


def largest_singular_value(kernel):
    return np.linalg.svd(np.asarray(kernel, np.float64), compute_uv=False)[0]


def kernel_counter():
    """A layer with a state that counts its calls in training and returns its kernel."""

    def init(key, x):
        return {"kernel": jax.random.normal(key, (x.shape[-1], 2))}, {"calls": jnp.zeros(())}

    def apply(params, state, x, *, key=None, train=False):
        return params["kernel"], {"calls": state["calls"] + train}

    return Layer(init, apply)


def test_weight_norm_starts_with_the_kernel_of_the_layer():
    for layer, inputs in ((dense(3), x), (conv(3, (2, 2)), normal(2, 4, 4, 2))):
        params, state = layer.init(jax.random.key(0), inputs)
        normed, _ = weight_norm(layer).init(jax.random.key(0), inputs)
        assert normed.keys() == params.keys() | {"length"}
        y, _ = weight_norm(layer).apply(normed, {}, inputs)
        assert_close(y, layer.apply(params, state, inputs)[0], 1e-6)


def test_weight_normed_columns_have_the_lengths_and_directions_of_the_params():
    v, g = normal(4, 2), jnp.array([2.0, -0.5])
    kernel, _ = weight_norm(kernel_counter()).apply({"kernel": v, "length": g}, {"calls": 0}, x)
    expected = np.asarray(v) / np.linalg.norm(v, axis=0) * np.array([2.0, -0.5])
    assert_close(kernel, expected, 1e-6)


def test_an_update_of_the_direction_is_orthogonal_to_it():
    """Salimans & Kingma 2016, section 2.1."""
    layer = weight_norm(dense(3))
    params, _ = layer.init(jax.random.key(0), x)
    gradient = jax.grad(lambda params: (layer.apply(params, {}, x)[0] ** 3).sum())(params)
    np.testing.assert_allclose((gradient["kernel"] * params["kernel"]).sum(0), 0, atol=1e-4)


def test_training_makes_the_largest_singular_value_1():
    params, state = spectral_norm(dense(3)).init(jax.random.key(0), x)
    for _ in range(30):
        y, state = trained(params, state)
    largest = largest_singular_value(params["kernel"])
    assert_close(y, x @ params["kernel"] / largest, 1e-5)
    left, _, right = np.linalg.svd(params["kernel"])
    np.testing.assert_allclose(abs(state["v"] @ left[:, 0]), 1, rtol=1e-5)
    np.testing.assert_allclose(abs(state["u"] @ right[0]), 1, rtol=1e-5)


def test_the_kernel_of_a_convolution_counts_as_a_matrix_from_patches_to_features():
    layer = spectral_norm(kernel_counter())
    kernel = normal(2, 3, 4, 5)
    state = {"calls": jnp.zeros(()), "u": normal(5), "v": normal(24)}
    for _ in range(30):
        y, state = layer.apply({"kernel": kernel}, state, x, train=True)
    assert y.shape == kernel.shape
    np.testing.assert_allclose(largest_singular_value(y.reshape(24, 5)), 1, rtol=1e-5)


def test_the_vectors_start_near_the_singular_ones():
    params, state = spectral_norm(dense(3)).init(jax.random.key(0), x)
    y, after = spectral_norm(dense(3)).apply(params, state, x)
    assert_close(y, x @ params["kernel"] / largest_singular_value(params["kernel"]), 1e-2)
    assert_same(after, state)


@both
def test_the_state_of_the_layer_is_kept_beside_the_vectors(wrap):
    layer = wrap(kernel_counter())
    params, state = layer.init(jax.random.key(0), x)
    _, state = layer.apply(params, state, x, train=True)
    _, state = layer.apply(params, state, x, train=True)
    assert state["calls"] == 2


@both
def test_a_kernel_of_zeros_stays_zero_and_has_finite_gradients(wrap):
    layer = wrap(dense(3, kernel_init=jax.nn.initializers.zeros))
    params, state = layer.init(jax.random.key(0), x)

    def loss(params):
        return layer.apply(params, state, x, train=True)[0].sum()

    value, gradient = jax.value_and_grad(loss)(params)
    assert value == 0
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


@both
def test_a_network_is_refused_with_the_cure(wrap):
    layer = wrap(serial(("fc", dense(3))))
    with pytest.raises(LayerError, match=r"_norm expects a layer with a kernel.*\['fc'\]; wrap"):
        layer.init(jax.random.key(0), x)


def test_params_or_a_state_of_another_layer_are_refused():
    with pytest.raises(LayerError, match=r"weight_norm expects params with 'length' but got"):
        weight_norm(dense(3)).apply({"kernel": normal(4, 3)}, {}, x)
    with pytest.raises(LayerError, match=r"spectral_norm expects state with 'u' but got \[\]"):
        spectral_norm(dense(3)).apply({"kernel": normal(4, 3)}, {}, x)
