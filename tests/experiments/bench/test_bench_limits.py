"""The parameters and the FLOPs per step of each network are those counted by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.bench.cases import CASES
from experiments.bench.limits import datasheet, flops_per_step
from experiments.bench.peers.matmul import flops_per_product
from experiments.bench.peers.ours import NETWORKS, model

# Multiply-adds of a forward pass over one image, layer by layer.
MLP = (784 * 500, 500 * 300, 300 * 10)
CNN_BN = (
    28 * 28 * 9 * 16,
    14 * 14 * 9 * 16 * 32,
    7 * 7 * 9 * 32 * 64,
    7 * 7 * 64 * 50,
    50 * 10,
)
CNN_5X5 = (28 * 28 * 25 * 32, 14 * 14 * 25 * 32 * 64, 7 * 7 * 64 * 256, 256 * 10)


@pytest.mark.parametrize("case, layers", [("mlp", MLP), ("cnn_bn", CNN_BN), ("cnn_5x5", CNN_5X5)])
def test_a_step_is_three_forward_passes_without_the_input_gradient(case, layers):
    first, *others = layers
    assert flops_per_step(case, 4) == 4 * 2 * (2 * first + 3 * sum(others))


@pytest.mark.parametrize(
    "case, parameters, state",
    [
        ("mlp", 785 * 500 + 501 * 300 + 301 * 10, 0),
        # the S2 listing's network, 180,880, without the biases of its convolutions
        ("cnn_bn", 180_880 - (16 + 32 + 64), 2 * (16 + 32 + 64)),
        ("cnn_5x5", 26 * 32 + (25 * 32 + 1) * 64 + (3136 + 1) * 256 + 257 * 10, 0),
        ("vgg16", 138_357_544, 0),
    ],
)
def test_the_networks_have_the_numbers_of_parameters_counted_by_hand(case, parameters, state):
    x = jax.ShapeDtypeStruct((1, *CASES[case].shape), jnp.uint8)
    trees = jax.eval_shape(model(case).init, jax.random.key(0), x)
    found = [sum(leaf.size for leaf in jax.tree.leaves(tree)) for tree in trees]
    assert found == [parameters, state]


def test_there_is_a_network_for_every_case():
    assert set(NETWORKS) == set(CASES)


def test_the_decay_of_batch_norm_is_nine_tenths():
    layer, x = NETWORKS["cnn_bn"](), jnp.ones((1, 4, 4, 1))
    shapes = jax.eval_shape(layer.init, jax.random.key(0), x)
    # kernels of zeros, so that no channel varies, and running statistics of ones
    params = jax.tree.map(lambda s: jnp.zeros(s.shape), shapes[0])
    state = jax.tree.map(lambda s: jnp.ones(s.shape), shapes[1])
    _, state = jax.jit(partial(layer.apply, train=True))(params, state, x)
    assert all((leaf == np.float32(0.9)).all() for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize(
    "kind, dtype, flops",
    [
        ("NVIDIA H200", "bfloat16", 989e12),
        ("NVIDIA H100 80GB HBM3", "bfloat16", 989e12),
        ("NVIDIA H100 PCIe", "bfloat16", 756e12),
        ("NVIDIA A100-SXM4-40GB", "bfloat16", 312e12),
        ("NVIDIA A100-SXM4-40GB", "float32", 156e12),
        ("TPU v5 lite", "bfloat16", 197e12),
        ("TPU v5p", "bfloat16", 459e12),
        ("TPU v4", "float32", None),
        ("cpu", "float32", None),
    ],
)
def test_the_peak_is_that_of_the_data_sheet_or_unknown(kind, dtype, flops):
    sheet = datasheet(kind, dtype)
    assert (sheet and sheet["flops_per_second"]) == flops
    assert sheet is None or sheet["source"]


def test_the_matmul_is_larger_on_an_accelerator():
    assert flops_per_product("cpu") == 2 * 2048**3 < flops_per_product("gpu")
