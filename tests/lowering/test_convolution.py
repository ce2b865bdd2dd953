"""Every implementation of convolution gives the values and gradients of NumPy loops."""

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
from jaxnets.lowering import dispatch


class Problem(NamedTuple):
    """The arguments of a convolution."""

    x: jax.Array  # (batch, *space, channels)
    kernel: jax.Array  # (*size, channels / groups, features)
    strides: tuple
    padding: tuple
    dilation: tuple
    groups: int


@st.composite
def problems(draw):
    def per_axis(smallest, largest):
        return tuple(draw(st.integers(smallest, largest)) for _ in range(axes))

    axes = draw(st.integers(1, 2))
    size, strides, dilation = per_axis(1, 3), per_axis(1, 3), per_axis(1, 2)
    padding = tuple(zip(per_axis(0, 2), per_axis(0, 2), strict=True))
    extent = [(n - 1) * d + 1 for n, d in zip(size, dilation, strict=True)]
    smallest = [max(1, n - sum(pair)) for n, pair in zip(extent, padding, strict=True)]
    space = [n + more for n, more in zip(smallest, per_axis(0, 5), strict=True)]
    groups = draw(st.integers(1, 2))
    inputs, features = draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    x = normal(draw(st.integers(1, 2)), *space, groups * inputs)
    kernel = normal(*size, inputs, features, seed=1)
    return Problem(x, kernel, strides, padding, dilation, groups)


def output_and_gradients(convolve, problem):
    x, kernel, *options = problem

    @jax.jit
    def run(x, kernel):
        y, back = jax.vjp(lambda x, kernel: convolve(x, kernel, *options), x, kernel)
        return y, back(jnp.asarray(loops.cotangent(y.shape), y.dtype))

    return run(x, kernel)


@pytest.mark.parametrize("padding", [((0, 0), (-1, 0)), ((0, 0), (-2, 1)), ((1, -2), (-1, -1))])
@pytest.mark.parametrize("layout", [lambda f: f, lowering.in_hwnc], ids=["NHWC", "HWNC"])
@pytest.mark.parametrize("convolve", [lowering.conv, lowering.plain_conv])
def test_negative_padding_crops_first(convolve, layout, padding):
    x, kernel = normal(2, 8, 9, 4), normal(3, 2, 4, 3, seed=1)
    crop = [slice(max(-b, 0), n - max(-a, 0)) for n, (b, a) in zip((8, 9), padding, strict=True)]
    rest = tuple((max(b, 0), max(a, 0)) for b, a in padding)
    y, (dx, dk) = loops.convolution(x[:, *crop], kernel, (1, 1), rest, (1, 1), 1)

    def cropping(x, kernel, *options):
        return layout(lambda x, kernel: convolve(x, kernel, *options))(x, kernel)

    actual = output_and_gradients(cropping, Problem(x, kernel, (1, 1), padding, (1, 1), 1))
    whole = np.zeros(x.shape)
    whole[:, *crop] = dx
    assert_close(actual, (y, (whole, dk)))


over_implementations = pytest.mark.parametrize("convolve", [lowering.conv, lowering.plain_conv])


@over_implementations
@examples
@given(problem=problems())
def test_every_implementation_gives_the_output_and_gradients_of_the_loops(convolve, problem):
    assert_close(output_and_gradients(convolve, problem), loops.convolution(*problem))


ALL_AT_ONCE = Problem(
    normal(2, 7, 6, 4), normal(3, 2, 2, 6, seed=1), (2, 1), ((1, 1), (0, 1)), (1, 2), groups=2
)


@over_implementations
def test_strides_padding_dilation_and_groups_combine(convolve):
    assert_close(output_and_gradients(convolve, ALL_AT_ONCE), loops.convolution(*ALL_AT_ONCE))


def test_above_the_memory_limit_the_plain_implementation_is_used(monkeypatch):
    monkeypatch.setattr(dispatch, "PATCHES_LIMIT", 0)
    beyond = output_and_gradients(lowering.conv, ALL_AT_ONCE)
    assert_same(beyond, output_and_gradients(lowering.plain_conv, ALL_AT_ONCE))


@over_implementations
def test_bfloat16_stays_bfloat16(convolve):
    x, kernel, *options = ALL_AT_ONCE
    half = Problem(x.astype(jnp.bfloat16), kernel.astype(jnp.bfloat16), *options)
    outputs = output_and_gradients(convolve, half)
    assert {leaf.dtype for leaf in jax.tree.leaves(outputs)} == {jnp.dtype(jnp.bfloat16)}
    assert_close(outputs, loops.convolution(*half), tolerance=2**-6)
