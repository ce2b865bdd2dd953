"""Group normalisation against NumPy."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, normal

from jaxnets import LayerError, group_norm, layer_norm

PARAMS = {"scale": 1 + normal(6, seed=1), "bias": normal(6, seed=2)}


@partial(jax.jit, static_argnums=0)
def apply(layer, params, x):
    return layer.apply(params, {}, x)[0]


def by_loops(x, groups, epsilon=1e-6):
    """Wu & He 2018, equations 1 to 6, one example and one group at a time."""
    x = np.asarray(x, np.float64)
    y, size = np.empty_like(x), x.shape[-1] // groups
    for example, out in zip(x, y, strict=True):
        for first in range(0, x.shape[-1], size):
            group = example[..., first : first + size]
            centred = group - group.mean()
            out[..., first : first + size] = centred / np.sqrt((centred**2).mean() + epsilon)
    return y * np.asarray(PARAMS["scale"]) + np.asarray(PARAMS["bias"])


@pytest.mark.parametrize(
    ("shape", "groups"),
    [((4, 6), 1), ((4, 6), 3), ((4, 7, 6), 2), ((4, 5, 3, 6), 2), ((4, 5, 3, 6), 6)],
)
def test_each_group_of_each_example_is_normalised_separately(shape, groups):
    x = 3 + 2 * normal(*shape)
    assert_close(apply(group_norm(groups), PARAMS, x), by_loops(x, groups), 2e-6)


def test_one_group_on_rows_is_layer_norm():
    x = normal(4, 6)
    assert_close(apply(group_norm(1), PARAMS, x), apply(layer_norm(), PARAMS, x), 1e-6)


def test_the_result_depends_neither_on_training_nor_on_other_examples():
    x, layer = normal(4, 5, 3, 6), group_norm(3)
    trained, state = layer.apply(PARAMS, {}, x, train=True)
    assert_close(trained[:1], apply(layer, PARAMS, x[:1]), 1e-6)
    assert state == {}


def test_epsilon_keeps_a_constant_group_finite():
    x = jnp.ones((2, 4, 6)).at[0, 0, 0].set(1.001)
    y = apply(group_norm(2, epsilon=0.5), PARAMS, x)
    assert_close(y, by_loops(x, 2, epsilon=0.5), 1e-5)
    constant = apply(group_norm(2), PARAMS, jnp.ones((2, 4, 6)))
    assert_close(constant, jnp.broadcast_to(PARAMS["bias"], (2, 4, 6)), 1e-6)


def test_the_initial_params_are_the_identity_with_one_number_per_channel():
    params, state = group_norm(3).init(jax.random.key(0), jnp.ones((2, 5, 6)))
    np.testing.assert_array_equal(params["scale"], jnp.ones(6))
    np.testing.assert_array_equal(params["bias"], jnp.zeros(6))
    assert (params.keys(), state) == ({"scale", "bias"}, {})


@pytest.mark.parametrize("groups", [0, -2, 2.0, True])
def test_groups_must_be_a_positive_integer(groups):
    with pytest.raises(LayerError, match="expects groups to be a positive integer, but got"):
        group_norm(groups)


def test_groups_that_do_not_divide_the_channels_are_refused_with_a_cure():
    message = r"group_norm\(4\) expects .* in 4 groups, but got \(2, 5, 6\); choose a number"
    with pytest.raises(LayerError, match=message):
        group_norm(4).init(jax.random.key(0), jnp.ones((2, 5, 6)))
    with pytest.raises(LayerError, match=message):
        group_norm(4).apply(PARAMS, {}, jnp.ones((2, 5, 6)))


def test_an_input_without_a_batch_or_with_the_wrong_channels_is_refused():
    with pytest.raises(LayerError, match=r"expects \(batch, ..., channels\).*got \(6,\)"):
        group_norm(2).init(jax.random.key(0), jnp.ones(6))
    with pytest.raises(LayerError, match=r"expects \(..., 6\) but got \(2, 8\); call init"):
        group_norm(2).apply(PARAMS, {}, jnp.ones((2, 8)))
