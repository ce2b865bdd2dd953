"""The recurrent passes of CPU equal the plain scan: results, gradients and second derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from derivatives import assert_derivatives
from helpers import assert_close, normal

from jaxnets import lowering, lstm
from jaxnets.lowering import recurrent, time_blocks

CELLS = {"lstm": (4, 2, recurrent._lstm, lowering.plain_lstm)}
CELLS["gru"] = (3, 1, recurrent._gru, lowering.plain_gru)
over_cells = pytest.mark.parametrize("cell", CELLS)


def arguments(cell, batch=3, time=13, features=2, units=4):
    """x, weights and carry, all of them random."""
    gates, parts, *_ = CELLS[cell]
    shapes = [(features, gates * units), (units, gates * units), (gates * units,)]
    shapes += [(units,)] * (cell == "gru")
    weights = tuple(normal(*shape, seed=i) for i, shape in enumerate(shapes))
    carry = tuple(normal(batch, units, seed=9 + i) for i in range(parts))
    return normal(batch, time, features, seed=5), weights, carry


def with_gradients(run, mask):
    """The result, and the gradients for a random cotangent of the outputs and the carry."""

    @jax.jit
    def f(*inputs):
        y, pull = jax.vjp(lambda *inputs: run(*inputs, mask), *inputs)
        return y, pull(jax.tree.map(lambda leaf: normal(*leaf.shape, seed=7), y))

    return f


@over_cells
@pytest.mark.parametrize(
    "time, masked", [(1, True), (time_blocks.STEPS, False), (2 * time_blocks.STEPS + 3, True)]
)
def test_the_passes_on_cpu_equal_the_plain_scan(cell, time, masked):
    inputs = arguments(cell, time=time)
    mask = jnp.arange(time)[None] < jnp.array([time, time // 2, 0])[:, None] if masked else None
    own, plain = CELLS[cell][2:]
    assert_close(with_gradients(own, mask)(*inputs), with_gradients(plain, mask)(*inputs), 2e-6)


@over_cells
def test_the_derivatives_agree_with_finite_differences_to_second_order(cell):
    with jax.enable_x64(True):
        inputs = jax.tree.map(lambda a: jnp.asarray(a, jnp.float64), arguments(cell, 1, 3, 1, 2))
        own = CELLS[cell][2]
        assert_derivatives(lambda inputs: own(*inputs, None), inputs, forward=False)


@over_cells
def test_a_population_equals_its_members(cell):
    inputs = jax.tree.map(lambda a: jnp.stack([a, -a]), arguments(cell))
    f = with_gradients(CELLS[cell][2], None)
    members = [f(*jax.tree.map(lambda a, m=m: a[m], inputs)) for m in range(2)]
    expected = jax.tree.map(lambda *a: np.stack(a), *members)
    assert_close(jax.vmap(f)(*inputs), expected, 2e-6)


def test_wide_layers_take_the_passes_of_cpu_and_narrow_ones_the_plain_scan():
    def has_own_passes(units):
        layer, x = lstm(units), jax.ShapeDtypeStruct((2, 3, 1), jnp.float32)
        params, _ = jax.eval_shape(layer.init, jax.random.key(0), x)
        return "custom_vjp_call" in str(jax.make_jaxpr(layer.apply)(params, {}, x))

    assert has_own_passes(recurrent.FEWEST_UNITS)
    assert not has_own_passes(recurrent.FEWEST_UNITS - 1)
