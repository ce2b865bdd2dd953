"""Depthwise and depthwise separable convolution."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, normal

from jaxnets import LayerError, conv, depthwise_conv, separable_conv, serial

HOW = {"strides": (2, 1), "padding": ((1, 0), (0, 2)), "dilation": (1, 2)}


def start(layer, x):
    """Params that differ from the initial ones."""
    params, _ = layer.init(jax.random.key(0), x)
    return jax.tree.map(lambda leaf: leaf + 0.1, params)


@partial(jax.jit, static_argnums=0)
def apply(layer, params, x):
    return layer.apply(params, {}, x)[0]


@pytest.mark.parametrize("multiplier", [1, 3])
def test_depthwise_convolves_each_channel_separately(multiplier):
    x = normal(2, 6, 7, 4)
    layer = depthwise_conv((3, 2), multiplier=multiplier, **HOW)
    params = start(layer, x)
    alone = conv(multiplier, (3, 2), **HOW)
    expected = []
    for channel in range(4):
        some = slice(channel * multiplier, (channel + 1) * multiplier)
        part = {"kernel": params["kernel"][..., some], "bias": params["bias"][some]}
        expected.append(apply(alone, part, x[..., channel : channel + 1]))
    assert_close(apply(layer, params, x), jnp.concatenate(expected, axis=-1), 1e-6)


def test_depthwise_works_in_one_dimension():
    x, kernel = normal(1, 9, 2), normal(3, 1, 2, seed=1)
    y = apply(depthwise_conv((3,), padding="VALID", use_bias=False), {"kernel": kernel}, x)
    for channel in range(2):
        expected = np.correlate(x[0, :, channel], kernel[:, 0, channel], mode="valid")
        np.testing.assert_allclose(y[0, :, channel], expected, rtol=1e-5, atol=1e-6)


def test_separable_is_depthwise_and_then_pointwise():
    x = normal(2, 6, 7, 4)
    layer = separable_conv(5, (3, 2), multiplier=2, **HOW)
    params = start(layer, x)
    spatial = depthwise_conv((3, 2), multiplier=2, use_bias=False, **HOW)
    two = serial(("depthwise", spatial), ("pointwise", conv(5, (1, 1))))
    y = apply(layer, params, x)
    assert_close(y, apply(two, params, x), 1e-6)
    kernel, bias = (np.asarray(params["pointwise"][name]) for name in ("kernel", "bias"))
    assert_close(y, np.asarray(apply(spatial, params["depthwise"], x)) @ kernel[0, 0] + bias, 1e-6)


def test_the_params_are_named_depthwise_and_pointwise():
    params, state = separable_conv(5, (3, 2), multiplier=2).init(
        jax.random.key(0), jnp.ones((1, 6, 6, 4))
    )
    assert jax.tree.map(jnp.shape, params) == {
        "depthwise": {"kernel": (3, 2, 1, 8)},
        "pointwise": {"kernel": (1, 1, 8, 5), "bias": (5,)},
    }
    assert state == {}
    params, _ = separable_conv(5, (3,), use_bias=False).init(jax.random.key(0), jnp.ones((1, 6, 4)))
    assert jax.tree.map(jnp.shape, params) == {
        "depthwise": {"kernel": (3, 1, 4)},
        "pointwise": {"kernel": (1, 4, 5)},
    }


def test_the_two_kernels_have_independent_keys():
    params, _ = separable_conv(4, (1, 1)).init(jax.random.key(0), jnp.ones((1, 6, 6, 4)))
    values = [np.asarray(params[step]["kernel"]).ravel() for step in ("depthwise", "pointwise")]
    assert not set(values[0]) & set(values[1])


def test_a_separable_convolution_has_fewer_parameters_than_a_full_one():
    x = jax.ShapeDtypeStruct((1, 8, 8, 64), jnp.float32)
    for layer, expected in (
        (separable_conv(128, (3, 3)), 9 * 64 + 64 * 128 + 128),
        (conv(128, (3, 3)), 9 * 64 * 128 + 128),
    ):
        params, _ = jax.eval_shape(layer.init, jax.random.key(0), x)
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == expected


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        ((3, 3), {"multiplier": 0}, "depthwise_conv expects multiplier to be a positive integer"),
        ((3, 3), {"strides": 0}, "strides to be a positive integer, but got 0"),
        ((3, 3), {"padding": "FULL"}, "expects padding"),
        ((3, 3, 3, 3), {}, "a size of 1 to 3 axes"),
    ],
)
def test_invalid_arguments_are_refused_at_construction(size, options, message):
    for make in (depthwise_conv, lambda size, **options: separable_conv(4, size, **options)):
        with pytest.raises(LayerError, match=message):
            make(size, **options)


@pytest.mark.parametrize("channels", [2, 8])
def test_an_input_with_the_wrong_number_of_channels_is_refused(channels):
    layer = depthwise_conv((3, 3))
    params = start(layer, jnp.ones((1, 5, 5, 4)))
    with pytest.raises(LayerError, match=rf"expects \(..., 4\) but got \(1, 5, 5, {channels}\)"):
        layer.apply(params, {}, jnp.ones((1, 5, 5, channels)))


def test_an_input_without_channels_or_a_kernel_larger_than_the_image_is_refused():
    layer = separable_conv(2, (3, 3), padding="VALID")
    with pytest.raises(LayerError, match=r"expects \(batch, height, width, channels\) but got"):
        layer.init(jax.random.key(0), jnp.ones((5, 5)))
    with pytest.raises(LayerError, match=r"at least \(3, 3\) but got \(2, 2\).*smaller window"):
        layer.init(jax.random.key(0), jnp.ones((1, 2, 2, 4)))


def test_params_of_another_layer_are_refused_with_the_missing_name():
    with pytest.raises(LayerError, match="depthwise_conv expects params with 'kernel' but got"):
        separable_conv(2, (3, 3)).apply({"fc": {}}, {}, jnp.ones((1, 5, 5, 4)))
