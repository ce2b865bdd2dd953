"""Convolution: results by hand, and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, normal

from jaxnets import LayerError, conv

RIDGE = [[-1, -1, -1], [2, 2, 2], [-1, -1, -1]]
EMBOSS = [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]
IMAGE = [
    [2, 3, 4, 4, 3, 3],
    [1, 3, 3, 4, 3, 2],
    [0, 1, 2, 3, 4, 4],
    [0, 0, 1, 1, 2, 2],
    [1, 1, 2, 2, 3, 2],
    [1, 2, 3, 3, 2, 1],
]
BITS = [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
CROSS = [[1, 0, 1], [0, 1, 0], [1, 0, 1]]


def convolve(image, kernel, padding):
    """The output for one image of one channel with a given kernel."""
    image, kernel = (np.asarray(array, np.float32) for array in (image, kernel))
    layer = conv(1, kernel.shape, padding=padding, use_bias=False)
    y, _ = jax.jit(layer.apply)({"kernel": kernel[..., None, None]}, {}, image[None, ..., None])
    return np.asarray(y)[0, ..., 0]


@pytest.mark.parametrize(
    ("image", "kernel", "padding", "expected"),
    [
        (
            IMAGE,
            RIDGE,
            "VALID",
            [[2, 3, 0, -3], [-2, 0, 4, 8], [-5, -7, -8, -8], [1, 0, 2, 3]],
        ),
        (
            IMAGE,
            RIDGE,
            "SAME",
            [
                [6, 11, 12, 12, 11, 7],
                [2, 2, 3, 0, -3, -4],
                [-2, -2, 0, 4, 8, 7],
                [-3, -5, -7, -8, -8, -5],
                [1, 1, 0, 2, 3, 3],
                [4, 8, 11, 9, 5, 1],
            ],
        ),
        (BITS, CROSS, "VALID", [[4, 3, 4], [2, 4, 3], [2, 3, 4]]),
    ],
    ids=["ridge VALID", "ridge SAME", "cross"],
)
def test_it_gives_the_results_by_hand(image, kernel, padding, expected):
    np.testing.assert_array_equal(convolve(image, kernel, padding), expected)


def test_it_is_a_cross_correlation_so_the_kernel_is_not_flipped():
    point = np.zeros((3, 3))
    point[1, 1] = 1
    turned = np.asarray(EMBOSS)[::-1, ::-1]
    np.testing.assert_array_equal(convolve(point, EMBOSS, "SAME"), turned)


def test_it_computes_in_the_dtype_of_its_kernel():
    layer = conv(2, (3, 3))
    params, _ = layer.init(jax.random.key(0), normal(1, 4, 4, 1))
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    for x in (normal(1, 4, 4, 1), jnp.ones((1, 4, 4, 1), jnp.uint8)):
        assert layer.apply(params, {}, x)[0].dtype == jnp.float32
        assert layer.apply(half, {}, x)[0].dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        ((0, 3), {}, r"size to be a positive integer, but got 0"),
        ((3, -1), {}, r"size to be a positive integer, but got -1"),
        ((3, 2.0), {}, r"size to be a positive integer, but got 2.0"),
        ((3, True), {}, r"size to be a positive integer, but got True"),
        ((3, 3, 3, 3), {}, r"a size of 1 to 3 axes, as in \(3, 3\), but got \(3, 3, 3, 3\)"),
        ((3, 3), {"strides": 0}, r"strides to be a positive integer, but got 0"),
        ((3, 3), {"strides": 1.5}, r"strides to be a positive integer, but got 1.5"),
        ((3, 3), {"strides": (1, 1, 1)}, r"strides for 2 axes, but got \(1, 1, 1\)"),
        ((3, 3), {"dilation": (1, -2)}, r"dilation to be a positive integer, but got -2"),
        ((3, 3), {"groups": 0}, r"groups to be a positive integer, but got 0"),
        ((3, 3), {"groups": 4}, r"groups that divide 6 features, got 4"),
        ((3, 3), {"padding": "same"}, r'"SAME", "VALID" or 2 \(before, after\) pairs, but got \'s'),
        ((3, 3), {"padding": 1}, r"2 \(before, after\) pairs, but got 1"),
        ((3, 3), {"padding": (1, 1)}, r"2 \(before, after\) pairs, but got \(1, 1\)"),
        (
            (3, 3),
            {"padding": ((0, 0), (-1, 0))},
            r"padding of at least 0, but got .*; crop",
        ),
        ((3,), {"padding": ((1, 1), (1, 1))}, r"1 \(before, after\) pairs, but got"),
    ],
)
def test_invalid_arguments_are_refused(size, options, message):
    with pytest.raises(LayerError, match=rf"^conv.* expects .*{message}"):
        conv(6, size, **options)


@pytest.mark.parametrize("features", [0, -1, 6.0, True])
def test_features_must_be_a_positive_integer(features):
    with pytest.raises(LayerError, match="features to be a positive integer, but got"):
        conv(features, (3, 3))


WRONG_INPUTS = pytest.mark.parametrize(
    ("x", "message"),
    [
        (normal(28, 28, 2), r"\(batch, height, width, channels\) but got \(28, 28, 2\); add"),
        (normal(1, 2, 28, 28), r"\(..., 2\) but got \(1, 2, 28, 28\); move the channels to"),
        (normal(1, 2, 5, 2), r"at least \(3, 3\) but got \(2, 5\) with padding; use a smaller w"),
    ],
    ids=["rank", "channels", "size"],
)


@WRONG_INPUTS
def test_an_input_that_does_not_fit_is_refused_with_the_cure(x, message):
    layer = conv(4, (3, 3), padding="VALID")
    params, _ = layer.init(jax.random.key(0), normal(1, 5, 5, 2))
    with pytest.raises(LayerError, match=rf"^conv\(4, \(3, 3\)\) expects .*{message}"):
        layer.apply(params, {}, x)


def test_a_dilated_kernel_must_fit_the_input():
    layer = conv(4, (3, 3), padding="VALID", dilation=2)
    params, _ = layer.init(jax.random.key(0), normal(1, 5, 5, 2))
    assert layer.apply(params, {}, normal(1, 5, 5, 2))[0].shape == (1, 1, 1, 4)
    with pytest.raises(LayerError, match=r"at least \(5, 5\) but got \(4, 5\)"):
        layer.apply(params, {}, normal(1, 4, 5, 2))


def test_init_refuses_channels_that_the_groups_do_not_divide():
    with pytest.raises(LayerError, match=r"channels in 2 groups, but got \(1, 5, 5, 3\)"):
        conv(4, (3, 3), groups=2).init(jax.random.key(0), normal(1, 5, 5, 3))


def test_three_axes_are_depth_height_and_width():
    layer = conv(4, (2, 3, 3))
    with pytest.raises(LayerError, match=r"\(batch, depth, height, width, channels\) but got"):
        layer.init(jax.random.key(0), normal(5, 5, 5, 2))
    params, _ = jax.eval_shape(layer.init, jax.random.key(0), normal(1, 5, 5, 5, 2))
    assert params["kernel"].shape == (2, 3, 3, 2, 4)


def test_a_volume_with_a_kernel_of_one_slice_is_convolved_slice_by_slice():
    x, kernel = normal(2, 3, 5, 4, 2), normal(1, 3, 3, 2, 4, seed=1)
    y, _ = conv(4, (1, 3, 3), use_bias=False).apply({"kernel": kernel}, {}, x)
    flat = conv(4, (3, 3), use_bias=False)
    expected, _ = flat.apply({"kernel": kernel[0]}, {}, x.reshape(6, 5, 4, 2))
    assert_close(y, expected.reshape(y.shape), 1e-6)
