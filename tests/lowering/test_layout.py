"""A network with images in HWNC computes the same values and gradients."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, normal
from jax.nn import relu

from jaxnets import (
    batch_norm,
    conv,
    dense,
    dropout,
    flatten,
    global_avg_pool,
    lowering,
    max_pool,
    network,
    serial,
)
from jaxnets.jaxpr.walk import Walk

KEY = jax.random.key(0)
X = normal(4, 9, 10, 3)


def stage(features):
    """Convolution, batch norm, ReLU."""
    return serial(("conv", conv(features, (3, 3), use_bias=False)), ("norm", batch_norm()), relu)


@network(first=conv(8, (3, 3)), second=conv(8, (5, 5)), shrink=conv(8, (3, 3), strides=2))
def branches(x, *, first, second, shrink):
    y = first(x)
    y = jnp.tanh(y) + y * second(y) / jnp.maximum(1.0, jnp.abs(y))
    return jnp.concatenate([shrink(y), max_pool((2, 2), padding="SAME")(1.0 - y)], axis=-1)


NETWORKS = {
    "norm, ReLU, pool": serial(
        ("block1", stage(8)),
        max_pool((2, 2)),
        ("block2", stage(6)),
        max_pool((2, 2)),
        flatten,
        ("head", dense(3)),
    ),
    "one tap, no padding, means": serial(
        ("wide", conv(8, (5, 3), padding="VALID")),
        ("point", conv(4, (1, 1))),
        jnp.tanh,
        max_pool((3, 2)),
        global_avg_pool,
    ),
    "branches and a stride": serial(("branches", branches), ("drop", dropout(0.5)), relu),
    "minus": serial(("a", stage(4)), ("b", conv(4, (3, 3))), jnp.negative, max_pool((2, 2))),
}


@cache
def start(name):
    """Parameters of both signs, since a pool after a decreasing operation takes the minimum."""
    params, state = jax.device_get(jax.jit(NETWORKS[name].init)(KEY, X))
    leaves, structure = jax.tree.flatten(params)
    moved = [leaf + np.asarray(normal(*leaf.shape, seed=i)) for i, leaf in enumerate(leaves)]
    return jax.tree.unflatten(structure, moved), state


def value_state_and_gradient(forward, params, state, x):
    """The value, state and gradient of a loss with a different weight for each output."""

    @jax.jit
    def run(params, x):
        def loss(params, x):
            y, new_state = forward(params, state, x)
            weights = jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)
            return (y * weights).sum(), new_state

        return jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(params, x)

    return run(params, x)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("name", NETWORKS)
def test_values_state_and_gradients_are_those_of_the_network_in_nhwc(name, train):
    model, (params, state) = NETWORKS[name], start(name)

    def forward(params, state, x):
        return model.apply(params, state, x, key=KEY, train=train)

    plain = value_state_and_gradient(forward, params, state, X)
    hwnc = value_state_and_gradient(lowering.in_hwnc(forward), params, state, X)
    assert_close(hwnc, plain, tolerance=1e-4)


def operations(f, *arguments):
    """The operations of the program for the CPU."""
    visited = []

    def visit(operation, operands):
        visited.append(operation)
        return [None] * len(operation.eqn.outvars)

    jaxpr = jax.make_jaxpr(f)(*arguments)
    Walk(visit, lambda value, aval: None, platform="cpu")(jaxpr, [None] * len(jaxpr.in_avals))
    return visited


def forward_of(model, x):
    params, state = jax.jit(model.init)(KEY, x)
    return lambda x: model.apply(params, state, x, key=KEY, train=True)[0]


def test_no_image_is_transposed_between_convolutions():
    forward = forward_of(NETWORKS["norm, ReLU, pool"], X)
    actual = operations(lowering.in_hwnc(forward), X)
    images = [op.eqn.invars[0].aval.shape for op in actual if op.name == "transpose"]
    moved = [shape for shape in images if len(shape) == 4 and len(X) in shape]
    # the input, its channels outermost for the patches, and what `flatten` gets
    assert moved == [X.shape, (9, 10, 4, 3), (2, 2, 4, 6)]
    assert not [op for op in actual if op.name == "conv_general_dilated"]


def test_a_pool_moves_before_operations_it_commutes_with():
    forward = forward_of(NETWORKS["norm, ReLU, pool"], X)
    actual = operations(lowering.in_hwnc(forward), X)
    maxima = [op.eqn.outvars[0].aval.shape for op in actual if op.name == "max"]
    assert (4, 5, 4, 8) in maxima  # ReLU on the maxima
    assert (9, 10, 4, 8) not in maxima  # and not on all values


def test_operations_keep_their_layer_and_source_line():
    actual = operations(lowering.in_hwnc(forward_of(NETWORKS["norm, ReLU, pool"], X)), X)
    matmuls = [op for op in actual if op.name == "dot_general"]
    assert {"block1/conv", "block2/conv", "head"} <= {op.path for op in matmuls}
    assert any("norm.py" in op.source for op in actual if op.path == "block1/norm")


@pytest.mark.parametrize(
    "model",
    [
        serial(("conv", conv(8, (3, 3), convolve=lowering.plain_conv)), relu),
        serial(flatten, ("head", dense(3))),
        serial(("conv", conv(8, (3, 3), strides=2)), relu),
    ],
    ids=["an explicit implementation", "no convolution", "stride 2"],
)
def test_functions_that_would_not_be_faster_are_unchanged(model):
    forward = forward_of(model, X)
    left = [op.eqn.primitive for op in operations(lowering.in_hwnc(forward), X)]
    assert left == [op.eqn.primitive for op in operations(forward, X)]


def test_a_custom_derivative_is_kept():
    @jax.custom_vjp
    def halved(x):
        return x

    halved.defvjp(lambda x: (x, None), lambda _, g: (g / 2,))
    forward = forward_of(serial(("conv", conv(8, (3, 3))), halved), X)

    def gradient(f):
        return jax.jit(jax.grad(lambda x: f(x).sum()))(X)

    assert_close(gradient(lowering.in_hwnc(forward)), gradient(forward), tolerance=1e-5)


def test_vmap_over_networks_equals_each_network():
    model = NETWORKS["norm, ReLU, pool"]
    keys = jax.random.split(KEY, 2)
    params, state = jax.jit(jax.vmap(lambda key: model.init(key, X)))(keys)

    def forward(params, state):
        return model.apply(params, state, X, train=True)[0]

    together = jax.jit(jax.vmap(lowering.in_hwnc(forward)))(params, state)
    assert_close(together, jax.jit(jax.vmap(forward))(params, state), tolerance=1e-4)
