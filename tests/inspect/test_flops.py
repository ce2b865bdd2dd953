"""Floating-point operations against XLA's count where it has one, and against formulas."""

import jax
import jax.numpy as jnp
import optax
import pytest

from jaxnets import LayerError, conv, losses, max_pool, models, serial
from jaxnets.inspect import flops
from jaxnets.training import Batch, make_train_step

A = jax.ShapeDtypeStruct((4, 4), jnp.float32)


def spec(*shape):
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def xla(f, *arguments):
    return jax.jit(f).lower(*arguments).cost_analysis()["flops"]


def product(subscripts):
    return lambda x, y: jnp.einsum(subscripts, x, y)


def convolution(**options):
    layout = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "padding": "VALID"}
    options = {"window_strides": (1, 1), **layout, **options}
    return lambda x, kernel: jax.lax.conv_general_dilated(x, kernel, **options)


@pytest.mark.parametrize(
    ("f", "x", "y"),
    [
        (product("ij,jk->ik"), spec(3, 5), spec(5, 7)),
        (product("bij,bjk->bik"), spec(2, 3, 5), spec(2, 5, 7)),
        (product("bhij,bhkj->bihk"), spec(2, 3, 4, 5), spec(2, 3, 6, 5)),
        (convolution(), spec(2, 9, 8, 4), spec(3, 2, 4, 6)),
        (convolution(window_strides=(2, 3)), spec(2, 9, 8, 4), spec(3, 2, 4, 6)),
        (convolution(rhs_dilation=(2, 3)), spec(2, 9, 8, 4), spec(3, 2, 4, 6)),
        (convolution(feature_group_count=2), spec(2, 9, 8, 4), spec(3, 2, 2, 6)),
        (convolution(feature_group_count=4), spec(2, 9, 8, 4), spec(3, 2, 1, 8)),
        (convolution(batch_group_count=2), spec(2, 9, 8, 4), spec(3, 2, 4, 6)),
    ],
)
def test_matmuls_and_unpadded_convolutions_have_the_count_of_xla(f, x, y):
    assert flops(f, x, y) == xla(f, x, y) > 0


def test_taps_on_padding_are_counted():
    layer = serial(("conv", conv(6, (3, 3), strides=2)))
    params, state = jax.eval_shape(layer.init, jax.random.key(0), spec(2, 8, 8, 3))
    count = flops(layer.apply, params, state, spec(2, 8, 8, 3))
    assert count == 2 * (2 * 4 * 4 * 6) * (3 * 3 * 3)


@pytest.mark.parametrize(("size", "stride", "groups"), [(2, 2, 1), (3, 3, 3), (3, 1, 1)])
def test_the_gradients_of_a_convolution_have_its_count(size, stride, groups):
    """Zeros between pixels and the unused forward pass do not count."""
    layer = conv(6, (size, size), strides=stride, groups=groups, padding="VALID", use_bias=False)
    x, g = spec(2, 12, 12, 3), spec(2, *2 * [(12 - size) // stride + 1], 6)
    params, _ = jax.eval_shape(layer.init, jax.random.key(0), x)

    def back(params, x, g):
        return jax.vjp(lambda params, x: layer.apply(params, {}, x)[0], params, x)[1](g)

    forward = 2 * (2 * g.shape[1] ** 2 * 6) * (size * size * 3 // groups)
    to_kernel = flops(lambda *given: back(*given)[0], params, x, g)
    to_input = flops(lambda *given: back(*given)[1], params, x, g)
    assert flops(lambda params, x: layer.apply(params, {}, x)[0], params, x) == forward
    # if windows overlap, the input's gradient has taps on padding
    padded = 2 * (2 * 12 * 12 * 3) * (size * size * 6 // groups)
    assert (to_kernel, to_input) == (forward, padded if stride < size else forward)


def test_a_training_step_is_three_forward_passes_without_the_input_gradient():
    train_step = make_train_step(
        models.mlp((16, 10)), optax.adam(1e-3), losses.softmax_cross_entropy
    )
    x = spec(8, 20)
    train_state = jax.eval_shape(lambda key: train_step.init(key, x), jax.random.key(0))
    batch = Batch(x, jax.ShapeDtypeStruct((8,), jnp.int32), spec(8))
    first, second = 2 * 8 * 20 * 16, 2 * 8 * 16 * 10
    assert flops(train_step, train_state, batch) == 2 * first + 3 * second


def test_a_scan_counts_once_per_step_and_nested_ones_multiply():
    def step(carry, _):
        carry, _ = jax.lax.scan(lambda c, _: (c @ c, None), carry, None, length=3)
        return carry @ carry, None

    one = 2 * 4**3
    assert flops(lambda a: jax.lax.scan(step, a, None, length=5), A) == 5 * (3 + 1) * one
    assert flops(lambda a: jax.lax.fori_loop(0, 7, lambda i, a: a @ a, a), A) == 7 * one
    assert flops(lambda a: jax.lax.map(lambda row: row @ row, a), A) == 4 * 8


def test_dead_code_is_not_counted():
    def f(a, b):
        jax.jit(jnp.matmul)(a, b)
        return jax.jit(lambda a, b: (a @ b, b @ a))(a, b)[0]

    assert flops(f, A, A) == 2 * 4**3


def test_elementwise_operations_reductions_and_pools_are_not_counted():
    pool = max_pool((2, 2))
    assert flops(lambda x: jnp.exp(pool(x)).sum() + x.mean(), spec(2, 4, 4, 3)) == 0
    assert flops(lambda n: jax.lax.while_loop(lambda n: n < 9, lambda n: n + 1, n), 0) == 0


def test_a_loop_of_unknown_length_is_refused_with_its_source_line():
    def f(a, n):
        return jax.lax.fori_loop(0, n, lambda i, a: a @ a, a)

    with pytest.raises(LayerError, match=r"the while at .*test_flops.py.*unknown.*lax.scan"):
        flops(f, A, 3)


def test_branches_with_different_counts_are_refused():
    def choose(p, a, other):
        return jax.lax.cond(p, lambda a: a @ a, other, a)

    assert flops(lambda p, a: choose(p, a, lambda a: a.T @ a), True, A) == 2 * 4**3
    with pytest.raises(LayerError, match=r"the cond at .* has branches that differ"):
        flops(lambda p, a: choose(p, a, lambda a: a + 1), True, A)
