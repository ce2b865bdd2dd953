"""Norms by parameter path."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.inspect import layer_norms

TREE = {"fc2": {"kernel": jnp.array([[3.0, 0.0], [0.0, 4.0]]), "bias": jnp.zeros(2)}, "a": 2.0}


def test_each_leaf_has_its_euclidean_norm_by_its_path_in_order():
    norms = layer_norms(TREE)
    assert list(norms) == ["fc2/kernel", "fc2/bias", "a"]
    np.testing.assert_allclose(list(norms.values()), [5.0, 0.0, 2.0])


def test_norms_may_be_traced():
    assert jax.jit(layer_norms)(TREE)["fc2/kernel"] == 5.0


def test_norms_are_correct_where_squares_would_underflow_or_overflow():
    tree = {"small": jnp.full(4, 1e-30), "large": jnp.full(4, 1e30), "none": jnp.zeros(3)}
    np.testing.assert_allclose(list(layer_norms(tree).values()), [2e-30, 2e30, 0], rtol=1e-6)
    assert jnp.isnan(layer_norms({"w": jnp.array([1.0, jnp.nan])})["w"])
    assert jnp.isinf(layer_norms({"w": jnp.array([1.0, -jnp.inf])})["w"])
