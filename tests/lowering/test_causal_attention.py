"""Causal attention in blocks of queries equals attention with the full mask."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close

from jaxnets import lowering
from jaxnets.layers.attention import dot_product_attention
from jaxnets.lowering.attention import FEWEST_STEPS, causal_attention


def arrays(steps, dtype=jnp.float32):
    keys = jax.random.split(jax.random.key(0), 3)
    return [jax.random.normal(key, (2, steps, 2, 4), dtype) for key in keys]


def whole(query, key, value):
    return dot_product_attention(query, key, value, jnp.tri(query.shape[1], dtype=bool)[None, None])


def blocks(query, key, value):
    return causal_attention(dot_product_attention, query, key, value)


@pytest.mark.parametrize("steps", [FEWEST_STEPS, FEWEST_STEPS + 3])
def test_outputs_and_gradients_are_those_of_the_full_mask(steps):
    def weighted(attend):
        def loss(*inputs):
            y = attend(*inputs)
            return (y * jnp.sin(jnp.arange(y.size)).reshape(y.shape)).sum(), y

        return jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))

    inputs = arrays(steps)
    assert_close(weighted(blocks)(*inputs), weighted(whole)(*inputs), 1e-5)


def test_a_step_depends_on_no_later_step():
    query, key, value = arrays(FEWEST_STEPS)
    last = jnp.arange(FEWEST_STEPS)[:, None, None] == FEWEST_STEPS - 1
    attend = jax.jit(blocks)
    got = attend(*(jnp.where(last, 9.0, array) for array in (query, key, value)))
    np.testing.assert_array_equal(got[:, :-1], attend(query, key, value)[:, :-1])


def test_the_blocks_leave_out_products_of_queries_with_later_keys():
    def products(attend):
        text = jax.jit(attend).lower(*arrays(FEWEST_STEPS)).as_text()
        return text.count("stablehlo.dot_general")

    assert (products(whole), products(blocks)) == (2, 8)
    with lowering.plain_operations():
        assert products(lambda *inputs: blocks(*inputs)) == 2


def test_a_population_attends_in_blocks():
    inputs = [array[None] for array in arrays(FEWEST_STEPS)]
    assert_close(jax.jit(jax.vmap(blocks))(*inputs)[0], whole(*(a[0] for a in inputs)), 1e-5)
