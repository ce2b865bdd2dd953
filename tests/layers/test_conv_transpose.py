"""Transposed convolution against loops, the input gradient of conv, and PyTorch."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, normal

from jaxnets import LayerError, conv, conv_transpose, lowering

CASES = pytest.mark.parametrize(
    ("space", "size", "strides", "padding"),
    [
        ((5,), (3,), (2,), "SAME"),
        ((5,), (2,), (3,), "VALID"),
        ((5,), (4,), (1,), ((2, 1),)),
        ((4, 3), (3, 3), (1, 1), "SAME"),
        ((4, 3), (4, 3), (2, 2), "SAME"),
        ((4, 3), (2, 3), (3, 1), "SAME"),
        ((4, 3), (3, 2), (2, 2), "VALID"),
        ((4, 3), (4, 3), (2, 3), ((1, 2), (0, 1))),
    ],
)


def start(space, *sizes, **options):
    """A layer with 2 features for 3 channels, params with a nonzero bias, and an input."""
    layer, x = conv_transpose(2, *sizes, **options), normal(2, *space, 3)
    params, _ = jax.jit(layer.init)(jax.random.key(0), x)
    return layer, params | {"bias": jnp.array([0.5, -0.25])}, x


@partial(jax.jit, static_argnums=0)
def apply(layer, params, x):
    return layer.apply(params, {}, x)[0]


def out_size(n, size, stride, padding, axis):
    """The output shape as documented."""
    if padding == "SAME":
        return n * stride
    return (n - 1) * stride + size - (0 if padding == "VALID" else sum(padding[axis]))


def laid_down(x, kernel, strides, before, out):
    """Adds the kernel times each value of x at its position, in float64."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    *size, features, _ = kernel.shape
    y = np.zeros((len(x), *out, features))
    for position in np.ndindex(*x.shape[1:-1]):
        for tap in np.ndindex(*size):
            at = tuple(np.multiply(position, strides) + tap - before)
            if all(0 <= i < n for i, n in zip(at, out, strict=True)):
                y[(slice(None), *at)] += x[(slice(None), *position)] @ kernel[tap].T
    return y


@CASES
def test_each_value_adds_a_scaled_kernel_and_padding_crops(space, size, strides, padding):
    layer, params, x = start(space, size, strides=strides, padding=padding)
    axes = range(len(space))
    out = [out_size(space[i], size[i], strides[i], padding, i) for i in axes]
    if padding == "SAME":
        before = [max(k - s, 0) // 2 for k, s in zip(size, strides, strict=True)]
    else:
        before = [0 if padding == "VALID" else padding[i][0] for i in axes]
    y = apply(layer, params, x)
    expected = laid_down(x, params["kernel"], strides, before, out) + np.array([0.5, -0.25])
    assert_close(y, expected, 1e-6)


@CASES
def test_it_is_the_input_gradient_of_conv_with_the_same_kernel(space, size, strides, padding):
    layer, params, x = start(space, size, strides=strides, padding=padding, use_bias=False)
    forward = conv(3, size, strides=strides, padding=padding, use_bias=False)
    kernel = {"kernel": params["kernel"]}
    y = apply(layer, kernel, x)

    @jax.jit
    def output_and_gradient(cotangent):
        output, back = jax.vjp(lambda y: forward.apply(kernel, {}, y)[0], jnp.zeros_like(y))
        return output, *back(cotangent)

    output, gradient = output_and_gradient(x)
    assert output.shape == x.shape
    assert_close(y, gradient, 1e-6)


def test_pytorch_agrees_with_its_kernel_axes_permuted():
    # torch.nn.functional.conv_transpose2d(x, kernel, stride=(2, 1), padding=(1, 1))
    x = (jnp.arange(8.0) - 3).reshape(1, 2, 2, 2)  # (batch, channels, height, width)
    kernel = (jnp.arange(24.0) - 10).reshape(2, 2, 2, 3)  # (channels, features, height, width)
    torch = [[[48, 46], [26, 32]], [[36, 34], [62, 68]]]
    layer = conv_transpose(2, (2, 3), strides=(2, 1), padding=((1, 1), (1, 1)), use_bias=False)
    params = {"kernel": kernel.transpose(2, 3, 1, 0)}
    y = apply(layer, params, x.transpose(0, 2, 3, 1))
    np.testing.assert_array_equal(y[0].transpose(2, 0, 1), torch)


def test_a_stride_larger_than_the_size_leaves_gaps_as_in_pytorch():
    # torch.nn.functional.conv_transpose1d(x, kernel, stride=4)
    x = (jnp.arange(6.0) - 2).reshape(1, 2, 3)
    kernel = (jnp.arange(12.0) - 5).reshape(2, 2, 3)
    torch = [[11, 10, 9, 0, 7, 8, 9, 0, 3, 6, 9], [8, 7, 6, 0, 10, 11, 12, 0, 12, 15, 18]]
    layer = conv_transpose(2, (3,), strides=4, padding="VALID", use_bias=False)
    y = apply(layer, {"kernel": kernel.transpose(2, 1, 0)}, x.transpose(0, 2, 1))
    np.testing.assert_array_equal(y[0].T, torch)


def test_the_params_are_a_kernel_of_size_features_channels_and_a_bias():
    x = jax.ShapeDtypeStruct((1, 4, 4, 7), jnp.float32)
    params, state = jax.eval_shape(conv_transpose(5, (3, 2)).init, jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, params) == {"kernel": (3, 2, 5, 7), "bias": (5,)}
    assert state == {}


def test_the_initial_kernel_has_variance_1_over_taps_times_channels():
    params, _ = conv_transpose(64, (3, 3)).init(jax.random.key(0), jnp.ones((1, 4, 4, 16)))
    variance, n = 1 / (3 * 3 * 16), params["kernel"].size
    assert abs(params["kernel"].var() / variance - 1) <= 5 * np.sqrt(2 / n)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": 0}, "features to be a positive integer, but got 0"),
        ({"size": (3, 3, 3, 3)}, r"a size of 1 to 3 axes, as in \(3, 3\)"),
        ({"size": (3, 0)}, "size to be a positive integer, but got 0"),
        ({"strides": -2}, "strides to be a positive integer, but got -2"),
        ({"strides": (1, 2, 3)}, "strides for 2 axes"),
        ({"dilation": 0}, "dilation to be a positive integer, but got 0"),
        ({"groups": 3}, "groups that divide 4 features, got 3"),
        ({"padding": "FULL"}, "padding .* but got 'FULL'"),
    ],
)
def test_invalid_arguments_are_refused_at_construction(options, message):
    with pytest.raises(LayerError, match=rf"conv_transpose\(.*\) expects {message}"):
        conv_transpose(**{"features": 4, "size": (3, 3)} | options)


def test_an_input_of_the_wrong_rank_or_number_of_channels_is_refused():
    layer, params, _ = start((4, 4), (3, 3))
    with pytest.raises(LayerError, match=r"expects \(batch, height, width, channels\) but got"):
        layer.init(jax.random.key(0), jnp.ones((4, 4, 3)))
    with pytest.raises(LayerError, match=r"expects \(..., 3\) but got \(1, 4, 4, 2\); move the"):
        layer.apply(params, {}, jnp.ones((1, 4, 4, 2)))


@pytest.mark.parametrize("convolve", [lowering.conv_transpose, lowering.plain_conv_transpose])
@pytest.mark.parametrize(
    ("space", "size", "strides", "padding"),
    [((5,), (3,), (2,), ((-1, -2),)), ((4, 3), (3, 2), (1, 2), ((-2, 1), (0, -3)))],
)
def test_negative_padding_appends_zeros_in_the_output_and_both_gradients(
    space, size, strides, padding, convolve
):
    layer, params, x = start(space, size, strides=strides, padding=padding, convolve=convolve)
    out = [out_size(n, size[i], strides[i], padding, i) for i, n in enumerate(space)]
    before = [pair[0] for pair in padding]

    def expected(x, kernel):
        return laid_down(x, kernel, strides, before, out)

    y, pull = jax.vjp(lambda params, x: apply(layer, params, x), params, x)
    assert_close(y, expected(x, params["kernel"]) + np.array([0.5, -0.25]), 1e-6)
    g = normal(*y.shape, seed=1)
    by_params, by_x = pull(g)
    for seed in (2, 3):  # the derivative along a direction, since the map is linear in each
        dx, dk = normal(*x.shape, seed=seed), normal(*params["kernel"].shape, seed=seed)
        along_x, along_k = (g * expected(dx, params["kernel"])).sum(), (g * expected(x, dk)).sum()
        np.testing.assert_allclose((by_x * dx).sum(), along_x, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose((by_params["kernel"] * dk).sum(), along_k, rtol=1e-4, atol=1e-4)


def test_padding_that_crops_everything_is_refused_with_a_cure():
    layer = conv_transpose(2, (3,), padding=((2, 2),))
    params = {"kernel": jnp.ones((3, 2, 3)), "bias": jnp.zeros(2)}
    with pytest.raises(LayerError, match=r"crops less than the whole .* makes it \(0,\); pad less"):
        layer.apply(params, {}, jnp.ones((1, 2, 3)))


GROUPED = {"strides": (2, 1), "padding": ((1, 0), (0, 1)), "dilation": (1, 2), "groups": 2}


@pytest.mark.parametrize("convolve", [lowering.conv_transpose, lowering.plain_conv_transpose])
def test_with_dilation_and_groups_it_is_the_input_gradient_of_conv_with_them(convolve):
    layer = conv_transpose(6, (3, 2), **GROUPED, use_bias=False, convolve=convolve)
    forward, x = conv(4, (3, 2), **GROUPED, use_bias=False), normal(2, 4, 3, 4)
    params, _ = layer.init(jax.random.key(0), x)
    assert params["kernel"].shape == (3, 2, 3, 4)
    y = apply(layer, params, x)
    _, back = jax.vjp(jax.jit(lambda y: forward.apply(params, {}, y)[0]), jnp.zeros_like(y))
    assert_close(y, back(x)[0], 1e-6)


def test_each_group_is_a_transposed_convolution_of_its_channels():
    layer, alone = (conv_transpose(n, (3,), groups=g, use_bias=False) for n, g in ((4, 2), (2, 1)))
    x, kernel = normal(2, 5, 6), normal(3, 2, 6, seed=1)
    y = apply(layer, {"kernel": kernel}, x)
    for group in range(2):
        part = slice(3 * group, 3 * group + 3)
        expected = apply(alone, {"kernel": kernel[..., part]}, x[..., part])
        assert_close(y[..., 2 * group : 2 * group + 2], expected, 1e-6)


def test_the_kernel_of_each_group_has_the_fan_in_of_an_output():
    layer, x = conv_transpose(64, (3, 3), groups=4), jnp.ones((1, 4, 4, 16))
    params, _ = layer.init(jax.random.key(0), x)
    variance, n = 1 / (3 * 3 * 4), params["kernel"].size
    assert abs(params["kernel"].var() / variance - 1) <= 5 * np.sqrt(2 / n)


def test_the_kernel_of_each_group_is_drawn_for_its_features_and_channels():
    def numbered(key, shape, dtype):
        assert shape == (1, 6, 3)
        return jnp.arange(18, dtype=dtype).reshape(shape)

    layer = conv_transpose(6, (1,), groups=2, kernel_init=numbered)
    params, _ = layer.init(jax.random.key(0), jnp.ones((1, 5, 6)))
    expected = [[0, 1, 2, 9, 10, 11], [3, 4, 5, 12, 13, 14], [6, 7, 8, 15, 16, 17]]
    np.testing.assert_array_equal(params["kernel"], [expected])


def test_init_refuses_channels_that_the_groups_do_not_divide():
    with pytest.raises(LayerError, match=r"channels in 2 groups, but got \(1, 5, 3\)"):
        conv_transpose(4, (3,), groups=2).init(jax.random.key(0), normal(1, 5, 3))
