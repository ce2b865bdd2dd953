"""Pools with dilation, in ceil mode, and over all of space: results by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_same, normal

from jaxnets import LayerError, avg_pool, global_max_pool, max_pool, sum_pool

SQUARE = np.array([[12, 20, 30, 0], [8, 12, 2, 0], [34, 70, 37, 4], [112, 100, 25, 12]])
BEYOND = {"strides": 4, "padding": ((0, 1), (0, 1)), "ceil_mode": True}
UNEVEN = {"strides": 3, "padding": ((0, 1), (1, 1)), "ceil_mode": True}


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (max_pool((2, 2), strides=1, dilation=2), [[37, 70], [112, 100]]),
        (sum_pool((2, 2), strides=1, dilation=(3, 1)), [[244, 175, 67]]),
        (max_pool((2, 2), strides=3, ceil_mode=True), [[20, 0], [112, 12]]),
        (avg_pool((3, 3), strides=3, ceil_mode=True), [[25, 4 / 3], [79, 12]]),
        (avg_pool((3, 2), **UNEVEN), [[18, 73 / 6], [112, 18.5]]),
        (max_pool((2, 2), **BEYOND), [[20]]),
    ],
    ids=["dilated", "dilated sum", "ceil", "mean in ceil mode", "uneven", "no window in padding"],
)
def test_pools_give_the_results_by_hand(pool, expected):
    y = pool(jnp.asarray(SQUARE, jnp.float32)[None, ..., None])
    np.testing.assert_array_equal(y[0, ..., 0], np.float32(expected))


def test_the_global_maximum_is_over_every_spatial_axis_and_keeps_integers():
    x = normal(2, 4, 3, 5)
    np.testing.assert_array_equal(global_max_pool(x), np.asarray(x).reshape(2, -1, 5).max(1))
    assert_same(global_max_pool(jnp.asarray([[[3], [7]]], jnp.uint8)), jnp.uint8([[7]]))
    with pytest.raises(LayerError, match=r"global_max_pool expects .* got \(2, 0, 3\)"):
        global_max_pool(jnp.ones((2, 0, 3)))


def test_a_dilated_maximum_keeps_nan_and_gives_the_first_of_equal_values_the_gradient():
    pool = max_pool((2,), strides=1, dilation=2)
    x = jnp.asarray([1.0, jnp.nan, 3.0, 2.0, jnp.nan, 0.0]).reshape(1, 6, 1)
    np.testing.assert_array_equal(pool(x).ravel(), [3, np.nan, np.nan, 2])
    gradient = jax.grad(lambda x: pool(x).sum())(jnp.ones((1, 4, 1)))
    np.testing.assert_array_equal(gradient.ravel(), [1, 1, 0, 0])
