"""The fully connected layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import normal
from jax.nn.initializers import constant, ones

from jaxnets import LayerError, dense


def test_it_is_the_affine_map():
    layer = dense(2, kernel_init=ones, bias_init=constant(0.5))
    x = jnp.asarray([[1.0, 2.0, 3.0]])
    params, state = layer.init(jax.random.key(0), x)
    np.testing.assert_array_equal(layer.apply(params, state, x)[0], [[6.5, 6.5]])


def test_it_computes_in_the_dtype_of_its_kernel():
    layer = dense(2)
    params, _ = layer.init(jax.random.key(0), normal(1, 3))
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    for x in (normal(1, 3), normal(1, 3).astype(jnp.bfloat16), jnp.ones((1, 3), jnp.uint8)):
        assert layer.apply(params, {}, x)[0].dtype == jnp.float32
        assert layer.apply(half, {}, x)[0].dtype == jnp.bfloat16


def test_the_initial_kernel_preserves_the_variance():
    params, _ = dense(500).init(jax.random.key(0), normal(1, 400))
    kernel = np.asarray(params["kernel"])
    # 200,000 draws of variance 1/400: the sample's standard error is below 0.4 %.
    np.testing.assert_allclose(400 * kernel.var(), 1, atol=0.02)
    assert not params["bias"].any()


@pytest.mark.parametrize("features", [0, -1, 2.0, True, "2", None])
def test_features_must_be_a_positive_integer(features):
    with pytest.raises(LayerError, match=r"dense\(.*features to be a positive integer, but got"):
        dense(features)


def test_an_input_that_does_not_fit_is_refused_with_the_cure():
    layer = dense(2)
    params, _ = layer.init(jax.random.key(0), normal(1, 784))
    for x in (normal(5, 28, 28, 1), normal()):
        with pytest.raises(LayerError, match=r"^dense\(2\) expects \(..., 784\) .*; flatten it"):
            layer.apply(params, {}, x)
    with pytest.raises(LayerError, match=r"expects \(..., inputs\) but got a scalar"):
        layer.init(jax.random.key(0), normal())
    with pytest.raises(LayerError, match=r"at least one input feature, but got \(5, 0\)"):
        layer.init(jax.random.key(0), normal(5, 0))
