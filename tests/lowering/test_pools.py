"""Every implementation of pooling gives the values and gradients of NumPy loops."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import loops
import numpy as np
import pytest
from helpers import assert_close, assert_same, examples, normal
from hypothesis import given
from hypothesis import strategies as st

from jaxnets import lowering


class Problem(NamedTuple):
    """The arguments of a pool."""

    x: jax.Array  # (batch, *space, channels)
    window: tuple
    strides: tuple
    padding: tuple
    dilation: tuple = (1, 1)


@st.composite
def problems(draw):
    def per_axis(smallest, largest):
        return tuple(draw(st.integers(smallest, largest)) for _ in range(axes))

    axes = draw(st.integers(1, 2))
    window, dilation = per_axis(1, 3), (1,) * axes
    if draw(st.booleans()):  # no overlap: a special implementation
        strides, padding = window, ((0, 0),) * axes
    else:  # less padding than the window, so that every window has a value of the input
        strides, dilation = per_axis(1, 3), per_axis(1, 2)
        padding = tuple((draw(st.integers(0, w - 1)), draw(st.integers(0, w - 1))) for w in window)
    span = [(n - 1) * d + 1 for n, d in zip(window, dilation, strict=True)]
    space = [w + more for w, more in zip(span, per_axis(0, 5), strict=True)]
    shape = (draw(st.integers(1, 2)), *space, draw(st.integers(1, 2)))
    few_values = np.round(np.asarray(normal(*shape)))  # so that there are many ties
    return Problem(jax.device_put(few_values), window, strides, padding, dilation)


def output_and_gradient(pool, problem):
    x, *options = problem

    @jax.jit
    def run(x):
        y, back = jax.vjp(lambda x: pool(x, *options), x)
        return y, *back(jnp.asarray(loops.cotangent(y.shape), y.dtype))

    return run(x)


WAYS = pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (lowering.max_pool, loops.max_pool),
        (lowering.plain_max_pool, loops.max_pool),
        (lowering.avg_pool, loops.avg_pool),
        (lowering.plain_avg_pool, loops.avg_pool),
    ],
)
NONE = ((0, 0), (0, 0))


@WAYS
@examples
@given(problem=problems())
def test_every_implementation_gives_the_output_and_gradient_of_the_loops(pool, expected, problem):
    assert_close(output_and_gradient(pool, problem), expected(*problem))


def test_of_equal_values_the_first_gets_the_gradient_as_in_xla():
    tied = Problem(jnp.ones((1, 2, 4, 1)), (2, 2), (2, 2), NONE)
    _, dx = output_and_gradient(lowering.max_pool, tied)
    np.testing.assert_array_equal(dx[0, :, :, 0] != 0, [[1, 0, 1, 0], [0, 0, 0, 0]])
    assert_same(dx, output_and_gradient(lowering.plain_max_pool, tied)[1])


@WAYS
@pytest.mark.parametrize("strides", [(2, 2), (1, 1)], ids=["tiling", "overlapping"])
def test_bfloat16_stays_bfloat16(pool, expected, strides):
    half = Problem(normal(2, 5, 4, 3).astype(jnp.bfloat16), (2, 2), strides, NONE)
    outputs = output_and_gradient(pool, half)
    assert {leaf.dtype for leaf in outputs} == {jnp.dtype(jnp.bfloat16)}
    assert_close(outputs, expected(*half), tolerance=2**-6)


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.uint8])
@pytest.mark.parametrize("pool", [lowering.max_pool, lowering.plain_max_pool])
def test_max_pooling_of_integers_ignores_padding(pool, dtype):
    x = jnp.arange(16, dtype=dtype).reshape(1, 4, 4, 1)
    for padding, corners in ((NONE, [5, 7, 13, 15]), (((1, 1), (1, 1)), [0, 3, 12, 15])):
        y = pool(x, (2, 2), (2, 2), padding, (1, 1))
        assert y.dtype == dtype
        np.testing.assert_array_equal(y[0, [0, 0, -1, -1], [0, -1, 0, -1], 0], corners)
