"""Transposed and depthwise convolution on CPU equal XLA's, and are used there."""

import jax
import jax.numpy as jnp
import pytest
from helpers import assert_close, assert_same, normal
from jax.export import export

from jaxnets import lowering
from jaxnets.lowering import dispatch

PLATFORMS = ["cpu", "cuda", "tpu"]
CORNER = ((1, 0), (0, 2))  # padding that differs between axes and sides


def transposed(convolve):
    return lambda x, kernel: convolve(x, kernel, (7, 7), (2, 3), CORNER, (1, 1), 1)


def grouped(convolve):
    return lambda x, kernel: convolve(x, kernel, (9, 11), (2, 3), CORNER, (3, 2), 2)


def depthwise(convolve):
    return lambda x, kernel: convolve(x, kernel, (2, 1), CORNER, (1, 2), 3)


# The dispatching implementation, the plain one, and the arguments.
CASES = {
    "transposed": (
        transposed(lowering.conv_transpose),
        transposed(lowering.plain_conv_transpose),
        (normal(2, 4, 3, 5), normal(2, 3, 4, 5, seed=1)),
    ),
    "transposed, dilated and grouped": (
        grouped(lowering.conv_transpose),
        grouped(lowering.plain_conv_transpose),
        (normal(2, 4, 3, 4), normal(2, 3, 2, 4, seed=1)),
    ),
    "depthwise": (
        depthwise(lowering.conv),
        depthwise(lowering.plain_conv),
        (normal(2, 5, 6, 3), normal(3, 2, 1, 6, seed=1)),
    ),
}
over_both = pytest.mark.parametrize(("chosen", "plain", "inputs"), CASES.values(), ids=CASES)


def output_and_gradients(f, inputs):
    @jax.jit
    def run(*inputs):
        y, back = jax.vjp(f, *inputs)
        return y, back(normal(*y.shape, seed=2).astype(y.dtype))

    return run(*inputs)


@over_both
def test_the_chosen_implementation_agrees_with_the_plain_one(chosen, plain, inputs):
    assert_close(output_and_gradients(chosen, inputs), output_and_gradients(plain, inputs), 2e-6)


@over_both
@pytest.mark.parametrize("derivative", [lambda f: f, jax.grad], ids=["forward", "gradient"])
def test_accelerators_run_xlas_convolution_and_the_cpu_does_not(chosen, plain, inputs, derivative):
    del plain
    traced = jax.jit(derivative(lambda *inputs: chosen(*inputs).sum())).trace(*inputs)
    actual = {
        platform: "stablehlo.convolution" in traced.lower(lowering_platforms=(platform,)).as_text()
        for platform in PLATFORMS
    }
    assert actual == {"cpu": False, "cuda": True, "tpu": True}


@over_both
def test_one_program_with_its_gradient_exports_for_every_platform(chosen, plain, inputs):
    del plain
    program = jax.jit(jax.value_and_grad(lambda *inputs: chosen(*inputs).sum(), argnums=(0, 1)))
    assert export(program, platforms=PLATFORMS)(*inputs).platforms == tuple(PLATFORMS)


@over_both
def test_bfloat16_stays_bfloat16(chosen, plain, inputs):
    del plain
    half = [array.astype(jnp.bfloat16) for array in inputs]
    actual = output_and_gradients(chosen, half)
    assert {leaf.dtype for leaf in jax.tree.leaves(actual)} == {jnp.dtype(jnp.bfloat16)}
    exact = output_and_gradients(chosen, [array.astype(jnp.float32) for array in half])
    assert_close(actual, exact, 2**-7)


@pytest.mark.parametrize("groups", [1, 2], ids=["transposed", "depthwise"])
@pytest.mark.parametrize("transform", [jax.jit, lambda f: f], ids=["jit", "eager"])
def test_bfloat16_is_summed_in_float32(transform, groups):
    ones = jnp.ones((1, 5, 5, groups), jnp.bfloat16)
    # The next bfloat16 numbers after 256 and 512 are 258 and 516, so adding ones one by one fails.
    kernel = jnp.ones((3, 3, 1, groups), jnp.bfloat16).at[0, 0].set(256).at[2, 2].set(256)
    square = ((1, 1), (1, 1))
    if groups == 1:
        options = ((5, 5), (1, 1), square, (1, 1), 1)
        y = transform(lambda x: lowering.conv_transpose(x, kernel, *options))(ones)
    else:
        y = transform(lambda x: lowering.conv(x, kernel, (1, 1), square, (1, 1), groups))(ones)
    assert (y[0, 2, 2] == 520).all()  # 256 + 7 + 256, rounded once


def test_above_the_memory_limit_the_plain_transpose_is_used(monkeypatch):
    chosen, plain, inputs = CASES["transposed"]
    monkeypatch.setattr(dispatch, "PATCHES_LIMIT", 0)
    assert_same(output_and_gradients(chosen, inputs), output_and_gradients(plain, inputs))


def test_taps_are_the_strided_slices_at_each_tap_of_a_window():
    x = jnp.arange(12.0).reshape(1, 3, 4, 1)
    actual = lowering.taps(x, (2, 2), (1, 2), ((0, 0), (1, 1)), (1, 1))
    expected = [
        [[0, 1, 3], [0, 5, 7]],
        [[0, 2, 0], [4, 6, 0]],
        [[0, 5, 7], [0, 9, 11]],
        [[4, 6, 0], [8, 10, 0]],
    ]
    assert [tap[0, :, :, 0].tolist() for tap in actual] == expected
