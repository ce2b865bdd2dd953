"""Convolutions in HWNC give the values and both gradients of NumPy loops."""

import jax
import jax.numpy as jnp
import loops
import numpy as np
import pytest
from helpers import assert_close, examples, normal
from hypothesis import given
from hypothesis import strategies as st

from jaxnets import lowering
from jaxnets.lowering import cook_toom, dispatch, hwnc
from jaxnets.lowering.cook_toom import best_tile, tile_transforms

NOTHING = ((0, 0), (0, 0))


def output_and_gradients(convolve, x, kernel, padding):
    """The output and gradients in the loops' layout, NHWC."""

    @jax.jit
    def run(x, kernel):
        def f(x, kernel):
            return convolve(x.transpose(1, 2, 0, 3), kernel, padding).transpose(2, 0, 1, 3)

        y, back = jax.vjp(f, x, kernel)
        return y, back(jnp.asarray(loops.cotangent(y.shape), y.dtype))

    return run(x, kernel)


@st.composite
def problems(draw, most_taps, wide):
    """A convolution; with `wide`, the padding may be wider than the kernel."""

    def per_axis(smallest, largest):
        return tuple(draw(st.integers(smallest, largest)) for _ in range(2))

    size = per_axis(1, most_taps)
    widest = [3 if wide else taps - 1 for taps in size]
    padding = tuple(tuple(draw(st.integers(0, most)) for _ in range(2)) for most in widest)
    smallest = [max(1, n - sum(pair)) for n, pair in zip(size, padding, strict=True)]
    space = [n + more for n, more in zip(smallest, per_axis(0, 9), strict=True)]
    channels, features, batch = (draw(st.integers(1, 3)) for _ in range(3))
    x, kernel = normal(batch, *space, channels), normal(*size, channels, features, seed=1)
    return x, kernel, padding


@examples
@given(problem=problems(most_taps=dispatch.MOST_TAPS, wide=False))
def test_cook_toom_gives_the_output_and_gradients_of_the_loops(problem):
    x, kernel, padding = problem
    expected = loops.convolution(x, kernel, (1, 1), padding, (1, 1), 1)
    actual = output_and_gradients(cook_toom.cook_toom_conv, x, kernel, padding)
    for part, exact in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(part, exact, rtol=0, atol=4e-5 * np.abs(exact).max())


@examples
@given(problem=problems(most_taps=3, wide=True))
def test_patches_give_the_output_and_gradients_of_the_loops(problem):
    x, kernel, padding = problem
    expected = loops.convolution(x, kernel, (1, 1), padding, (1, 1), 1)
    assert_close(output_and_gradients(hwnc.hwnc_patches_conv, x, kernel, padding), expected)


def test_one_tap_is_a_matmul():
    x, kernel = normal(2, 4, 3, 5), normal(1, 1, 5, 2, seed=1)
    expected = loops.convolution(x, kernel, (1, 1), NOTHING, (1, 1), 1)
    assert_close(output_and_gradients(hwnc.pointwise_conv, x, kernel, NOTHING), expected)


def test_tall_images_have_several_rows_of_tiles_in_a_strip():
    x, kernel, pad = normal(1, 37, 3, 1), normal(3, 3, 1, 2, seed=1), ((1, 1), (1, 1))
    expected = loops.convolution(x, kernel, (1, 1), pad, (1, 1), 1)
    actual = output_and_gradients(cook_toom.cook_toom_conv, x, kernel, pad)
    assert_close(actual, expected, tolerance=4e-5)


@pytest.mark.parametrize("padding", [((4, 0), (0, 1)), ((0, 1), (2, 5))])
def test_padding_wider_than_the_kernel_uses_another_implementation(padding):
    x, kernel = normal(2, 6, 6, 4), normal(2, 2, 4, 3, seed=1)

    def f(x, kernel):
        return lowering.conv(x, kernel, (1, 1), padding, (1, 1), 1)

    expected = loops.convolution(x, kernel, (1, 1), padding, (1, 1), 1)[0]
    assert_close(jax.jit(lowering.in_hwnc(f))(x, kernel), expected)


@pytest.mark.parametrize(
    ("extent", "taps", "tile", "error"),
    [
        *[(16, 3, 4, 3e-6), (10, 3, 5, 1e-5), (12, 3, 6, 1e-5), (14, 3, 7, 4e-5), (7, 3, 7, 4e-5)],
        *[(6, 5, 3, 1e-5), (8, 5, 4, 1e-5), (14, 5, 5, 4e-5), (12, 4, 6, 4e-5)],
    ],
)
def test_float32_keeps_its_precision(extent, taps, tile, error):
    """The error relative to the largest output, for layers of usual size and each tile size."""
    assert best_tile(extent, taps) == tile
    x, kernel = normal(8, extent, extent, 32), normal(taps, taps, 32, 16, seed=1)
    pad = ((taps // 2, taps // 2),) * 2
    y, gradients = output_and_gradients(cook_toom.cook_toom_conv, x, kernel, pad)
    with jax.enable_x64(True):
        wide = (jnp.asarray(np.asarray(part, np.float64)) for part in (x, kernel))
        exact = output_and_gradients(plain_hwnc, *wide, pad)
    assert_close((y, gradients), exact, tolerance=error)


def plain_hwnc(x, kernel, padding):
    """XLA's convolution in HWNC."""
    y = lowering.plain_conv(x.transpose(2, 0, 1, 3), kernel, (1, 1), padding, (1, 1), 1)
    return y.transpose(1, 2, 0, 3)


def test_the_transforms_for_2_outputs_and_3_taps_are_the_published_ones():
    """Lavin & Gray 2016, equation 8, F(2, 3): up to the scale and sign of each product."""
    a, g, b = tile_transforms(2, 3)
    published_b = [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, -1, 0, 1]]
    published_g = [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]
    published_a = [[1, 1, 1, 0], [0, 1, -1, 1]]
    ours = np.einsum("on,nk,ni->noki", a, g, b)
    theirs = np.einsum("on,nk,ni->noki", published_a, published_g, published_b)
    np.testing.assert_allclose(ours, theirs)
