"""The networks for time series: their parameters and shapes as in Wang et al. 2017."""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counting import abstract, count, output_shapes
from helpers import assert_close, normal

from jaxnets import models

SIZES = (8, 5, 3)


def of_convolutions(channels):
    """Kernels, and scales and biases of batch norm, of convolutions from channels to channels."""
    pairs = zip(SIZES, pairwise(channels), strict=True)
    return sum(size * a * b + 2 * b for size, (a, b) in pairs)


@pytest.mark.parametrize(("channels", "classes"), [(1, 2), (12, 9)])
def test_the_fcn_has_the_parameters_of_the_paper(channels, classes):
    """Section II.B: 128, 256 and 128 kernels of 8, 5 and 3; each has a bias, which norm removes."""
    params, state = abstract(models.fcn(classes), 150, channels)
    expected = of_convolutions((channels, 128, 256, 128)) + 128 * classes + classes
    assert count(params) == expected and count(state) == 2 * (128 + 256 + 128)
    if (channels, classes) == (1, 2):
        assert expected == 264_450 == 264_962 - (128 + 256 + 128)


def test_the_resnet_has_the_parameters_of_the_paper():
    """Section II.C: three blocks of 64, 128 and 128 kernels, each with a shortcut."""
    params, state = abstract(models.resnet1d(2), 150, 1)
    blocks = [
        of_convolutions((1, 64, 64, 64)) + 64 + 2 * 64,
        of_convolutions((64, 128, 128, 128)) + 64 * 128 + 2 * 128,
        of_convolutions((128, 128, 128, 128)) + 2 * 128,
    ]
    assert [count(params[f"block{n}"]) for n in (1, 2, 3)] == blocks
    assert count(params) == sum(blocks) + 128 * 2 + 2 == 503_106
    assert count(state) == 2 * 4 * (64 + 128 + 128) == 2_560


@pytest.mark.parametrize("make", [models.fcn, models.resnet1d])
@pytest.mark.parametrize("shape", [(1, 1), (7, 3)])
def test_any_length_and_number_of_channels_and_classes_is_accepted(make, shape):
    *_, (last, logits) = output_shapes(make(5, widths=(4, 8, 4)), *shape).items()
    assert last == "head" and logits == (5,)


def test_each_convolution_keeps_the_length():
    shapes = output_shapes(models.fcn(2), 150, 1)
    for number, features in enumerate((128, 256, 128), start=1):
        assert shapes[f"conv{number}"] == shapes[f"relu{number}"] == (150, features)
    assert shapes["pool"] == (128,)
    blocks = output_shapes(models.resnet1d(2), 150, 1)
    assert [blocks[f"block{n}"] for n in (1, 2, 3)] == [(150, 64), (150, 128), (150, 128)]


def test_a_block_with_a_zero_branch_is_its_shortcut():
    model, x = models.resnet1d(2, widths=(4, 6, 6)), normal(2, 9, 3)
    params, state = abstract(model, 9, 3)
    params = jax.tree.map(lambda leaf: normal(*leaf.shape), params)
    state = jax.tree.map(lambda leaf: jnp.ones(leaf.shape), state)
    for block in ("block1", "block2", "block3"):
        params[block]["norm3"] = jax.tree.map(jnp.zeros_like, params[block]["norm3"])
    logits, _ = jax.jit(model.apply)(params, state, x)
    y = np.asarray(x)
    for block in ("block1", "block2", "block3"):
        shortcut = jax.tree.map(np.asarray, params[block]["shortcut"])
        y = y @ shortcut["conv"]["kernel"][0] if "conv" in shortcut else y
        norm = shortcut["norm"]  # the running mean and variance are 1
        y = np.maximum((y - 1) / np.sqrt(1 + 1e-5) * norm["scale"] + norm["bias"], 0)
    head = jax.tree.map(np.asarray, params["head"])
    assert_close(logits, y.mean(1) @ head["kernel"] + head["bias"], 1e-4)
