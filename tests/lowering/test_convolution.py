"""Every implementation of convolution gives the values and gradients of NumPy loops."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import loops
import numpy as np
import pytest
from compilations import compiled
from helpers import assert_close, assert_same, examples, normal
from hypothesis import given
from hypothesis import strategies as st

from jaxnets import lowering
from jaxnets.lowering import dispatch
from jaxnets.lowering.convolution import conv

NONE = ((0, 0), (0, 0))


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


@pytest.mark.parametrize("groups", [1, 4], ids=["patches", "taps"])
def test_an_eager_convolution_is_one_program(groups):
    x, kernel = normal(3, 11, 7, 4), normal(2, 3, 4 // groups, 4, seed=1)  # shapes of this test
    compiled.clear()
    conv(x, kernel, (1, 1), NONE, (1, 1), groups)
    compiled_here = [name for name in compiled if name != "jit(platform_index)"]  # one for all
    assert compiled_here == ["jit(taps_conv)" if groups > 1 else "jit(patches_conv)"]


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


# A convolution for which the table of `dispatch` chooses each implementation.
CHOSEN = {
    "pointwise_conv": Problem(
        normal(2, 5, 6, 4), normal(1, 1, 4, 3, seed=1), (1, 1), NONE, (1, 1), groups=1
    ),
    "hwnc_patches_conv": Problem(
        normal(2, 5, 6, 3), normal(3, 2, 3, 4, seed=1), (1, 1), NONE, (1, 1), groups=1
    ),
    "cook_toom_conv": Problem(
        normal(2, 5, 6, 4), normal(3, 2, 4, 3, seed=1), (1, 1), ((1, 1), (0, 1)), (1, 1), groups=1
    ),
    "taps_conv": Problem(
        normal(2, 5, 6, 2), normal(3, 2, 1, 4, seed=1), (1, 2), NONE, (2, 1), groups=2
    ),
    "patches_conv": ALL_AT_ONCE,
    "plain_conv": ALL_AT_ONCE,
}


def test_the_examples_cover_every_row_of_the_table():
    names = {row.convolve.__name__ for row in dispatch.TABLE}
    assert names == CHOSEN.keys(), "add a convolution that the new row is chosen for to CHOSEN"


@pytest.mark.parametrize("name", CHOSEN)
def test_every_row_of_the_table_gives_the_output_and_gradients_of_the_loops(name):
    (row,) = (row for row in dispatch.TABLE if row.convolve.__name__ == name)
    x, kernel, *options = problem = CHOSEN[name]
    platform = "gpu" if row.backend == "any" else row.backend
    convolution = dispatch.Convolution.of_arrays(x, kernel, *options, layout=row.layout)
    assert dispatch.choose(platform, convolution) is row.convolve

    def in_hwnc(x, kernel, *options):
        y = row.convolve(x.transpose(1, 2, 0, 3), kernel, problem.padding)
        return y.transpose(2, 0, 1, 3)

    convolve = row.convolve if row.layout == "NHWC" else in_hwnc
    assert_close(output_and_gradients(convolve, problem), loops.convolution(*problem), 4e-5)


@pytest.mark.parametrize("layout", ["NHWC", "HWNC"])
def test_a_new_row_of_the_table_runs_with_its_gradients_in_either_layout(monkeypatch, layout):
    """A row for one tap that doubles the result, after a convolution that is faster in HWNC."""

    def doubled(x, kernel, *options):
        return 2 * x @ kernel[0, 0]

    def has_one_tap(convolution):
        return set(convolution.taps) == {1}

    def two(x, kernel):
        x = lowering.conv(x, jnp.ones((2, 2, 4, 4)), (1, 1), NONE, (1, 1), 1)
        return lowering.conv(x, kernel, (1, 1), NONE, (1, 1), 1)

    def run(x, kernel):
        program = lowering.in_hwnc(two) if layout == "HWNC" else partial(two)  # traced anew
        y, back = jax.vjp(jax.jit(program), x, kernel)
        return y, back(normal(*y.shape, seed=2))

    x, kernel = normal(2, 5, 6, 4), normal(1, 1, 4, 3, seed=1)
    expected = run(x, kernel)
    row = dispatch.Row(doubled, "cpu", layout, has_one_tap)
    monkeypatch.setattr(dispatch, "TABLE", (row, *dispatch.TABLE))
    assert_close(run(x, kernel), jax.tree.map(lambda leaf: 2 * leaf, expected), 1e-5)


def test_a_row_in_nhwc_leaves_the_choice_of_layout_as_it_was(monkeypatch):
    """A convolution that has another implementation in NHWC is still moved to HWNC."""

    def convolve(x, kernel, *options):
        return lowering.plain_conv(x, kernel, *options)

    row = dispatch.Row(convolve, "cpu", "NHWC", lambda convolution: True)
    x, kernel, *options = CHOSEN["cook_toom_conv"]
    monkeypatch.setattr(dispatch, "TABLE", (row, *dispatch.TABLE))
    program = lowering.in_hwnc(lambda x, kernel: lowering.conv(x, kernel, *options))
    text = jax.jit(program).lower(x, kernel).as_text()
    assert "stablehlo.convolution" not in text
