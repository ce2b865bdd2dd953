"""In `plain_operations`, and for a symbolic batch, layers trace to XLA's own operations."""

from functools import cache

import jax
import numpy as np
import pytest
from helpers import assert_close, normal
from jax.export import symbolic_shape
from networks import NETWORKS, build

from jaxnets import avg_pool, conv, conv_transpose, gru, lowering, lstm, max_pool, models, sum_pool

LAYERS = {
    "conv": (conv(4, (3, 3)), (6, 6, 2), "conv_general_dilated"),
    "strided": (conv(4, (5, 5), strides=2), (7, 7, 4), "conv_general_dilated"),
    "depthwise": (conv(4, (3, 3), groups=4), (6, 6, 4), "conv_general_dilated"),
    "transposed": (conv_transpose(4, (2, 2), strides=2), (3, 3, 4), "conv_general_dilated"),
    "max_pool": (max_pool((2, 2)), (4, 4, 2), "reduce_window_max"),
    "avg_pool": (avg_pool((2, 2)), (4, 4, 2), "reduce_window"),
    "sum_pool": (sum_pool((2, 2)), (4, 4, 2), "reduce_window"),
    "lstm": (lstm(64), (3, 2), "scan"),
    "gru": (gru(256), (3, 2), "scan"),
}
over_layers = pytest.mark.parametrize("name", LAYERS)
BATCH = symbolic_shape("batch")


@cache
def function_of(name):
    """The layer as a function of its params and input, its params, and the shape of an example."""
    layer, shape, _ = LAYERS[name]
    if not hasattr(layer, "init"):
        return lambda params, x: layer(x), {}, shape
    params, state = jax.jit(layer.init)(jax.random.key(0), normal(1, *shape))
    return lambda params, x: layer.apply(params, state, x)[0], params, shape


def is_plain(f, params, x):
    """Whether no operation of the program depends on the platform."""
    return "platform_index" not in str(jax.make_jaxpr(f)(params, x))


@over_layers
def test_in_the_context_one_operation_serves_all_platforms(name):
    f, params, shape = function_of(name)
    with lowering.plain_operations():
        assert is_plain(f, params, normal(2, *shape))
        assert LAYERS[name][2] in str(jax.make_jaxpr(f)(params, normal(2, *shape)))


@over_layers
def test_a_symbolic_batch_is_traced_to_the_same_operations(name):
    f, params, shape = function_of(name)
    spec = jax.ShapeDtypeStruct((*BATCH, *shape), np.float32)
    assert is_plain(f, params, spec)
    assert jax.eval_shape(f, params, spec).shape[0] == BATCH[0]


@over_layers
def test_values_are_those_of_the_other_implementations(name):
    f, params, shape = function_of(name)
    x = normal(2, *shape)
    expected = jax.jit(f)(params, x)
    with lowering.plain_operations():
        assert_close(jax.jit(f)(params, x), expected)


def test_a_program_traced_outside_is_not_used_inside_or_after():
    f, params, shape = function_of("conv")
    jitted, x = jax.jit(f), normal(2, *shape)
    assert not is_plain(jitted, params, x)
    with lowering.plain_operations():
        assert is_plain(jitted, params, x)
    assert not is_plain(jitted, params, x)


def test_the_context_ends_with_an_error_too():
    f, params, shape = function_of("conv")
    with pytest.raises(ZeroDivisionError), lowering.plain_operations():
        _ = 1 / 0
    assert not is_plain(f, params, normal(2, *shape))


def test_the_layout_of_training_takes_a_symbolic_batch():
    f, params, shape = function_of("conv")
    spec = jax.ShapeDtypeStruct((*BATCH, *shape), np.float32)
    assert jax.eval_shape(lowering.in_hwnc(f), params, spec).shape == (*BATCH, 6, 6, 4)


def test_the_networks_cover_all_models():
    assert set(NETWORKS) == set(models.__all__) - models.NO_MODELS


# Of models with the same layers the smaller ones; tests/export has all of them.
SMALLER = sorted(
    NETWORKS.keys() - {"efficientnet_lite0", "mobilenet_v2", "resnet18", "resnet50", "squeezenet"}
)


@pytest.mark.parametrize("name", SMALLER)
def test_every_model_takes_a_symbolic_batch(name):
    model, params, state, x = build(name)
    spec = jax.ShapeDtypeStruct((*BATCH, *x.shape[1:]), x.dtype)
    y, _ = jax.eval_shape(model.apply, params, state, spec)
    assert y.shape[0] == BATCH[0]
