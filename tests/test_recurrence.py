"""The initial carry and the sequence of a recurrent layer: cast, or refused with the cure."""

import jax
import jax.numpy as jnp
import pytest
from helpers import assert_close, normal

from jaxnets import LayerError, dense, network, scan_over_time


@network(mix=dense(3))
def cell(carry_and_x, *, mix):
    carry = jnp.tanh(mix(jnp.concatenate(carry_and_x, axis=-1)))
    return carry, carry


LAYER = scan_over_time(cell, lambda x: jnp.zeros((x.shape[0], 3)))


def test_the_initial_carry_gets_the_dtype_of_the_params():
    x = normal(2, 5, 4)
    params, state = LAYER.init(jax.random.key(0), x)
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    y, _ = jax.jit(LAYER.apply)(half, state, x)
    assert y.dtype == jnp.bfloat16
    assert_close(y, jax.jit(LAYER.apply)(params, state, x)[0], 2**-5)


@pytest.mark.parametrize("shape", [(2,), (2, 0, 4)])
def test_a_sequence_without_steps_is_refused(shape):
    params, state = LAYER.init(jax.random.key(0), normal(2, 5, 4))
    message = r"scan_over_time expects \(batch, time, ...\) with at least one step, but got \(2,"
    with pytest.raises(LayerError, match=message):
        LAYER.init(jax.random.key(0), jnp.ones(shape))
    with pytest.raises(LayerError, match=message):
        LAYER.apply(params, state, jnp.ones(shape))


def test_a_cell_that_changes_the_carrys_shape_is_refused_with_the_cure():
    growing = scan_over_time(
        network()(lambda pair: (jnp.concatenate(pair, axis=-1), pair[1])), lambda x: x
    )
    message = r"return a carry of the initial shape, \(2, 4\), but it returned \(2, 8\); pass an"
    with pytest.raises(LayerError, match=message):
        growing.apply({}, {}, normal(2, 5, 4))
