"""Parity of layers with Flax Linen: the same params give the same outputs and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from helpers import assert_close, assert_same, normal, spec

from jaxnets import (
    avg_pool,
    conv,
    conv_transpose,
    dense,
    depthwise_conv,
    embedding,
    group_norm,
    layer_norm,
    max_pool,
    prelu,
    separable_conv,
    stochastic_depth,
)

TOLERANCE = 1e-5  # relative to the largest value of each array; float32 has 1e-7
ROUNDING = {"float32": 1e-6, "bfloat16": 1e-2, "float64": 1e-14}
line, image, table = normal(3, 9, 4), normal(3, 8, 7, 4), normal(5, 4)
tokens = jnp.asarray([[3, 0, 3], [1, 11, 2]])


class Separable(nn.Module):
    """Depthwise and pointwise convolution in Linen."""

    @nn.compact
    def __call__(self, x):
        depthwise = nn.Conv(
            8, (3, 3), strides=2, feature_group_count=4, use_bias=False, name="depthwise"
        )
        return nn.Conv(5, (1, 1), name="pointwise")(depthwise(x))


def transposed(size, **options):
    theirs = nn.ConvTranspose(3, size, transpose_kernel=True, **options)
    return theirs, conv_transpose(3, size, **options)


LAYERS = {
    "dense": (nn.Dense(3), dense(3), table),
    "dense without a bias": (nn.Dense(3, use_bias=False), dense(3, use_bias=False), image),
    "conv": (nn.Conv(6, (3, 2)), conv(6, (3, 2)), image),
    "conv 1-D": (nn.Conv(6, (3,)), conv(6, (3,)), line),
    "conv strided": (nn.Conv(6, (3, 3), (2, 3)), conv(6, (3, 3), strides=(2, 3)), image),
    "conv VALID": (nn.Conv(6, (3, 3), padding="VALID"), conv(6, (3, 3), padding="VALID"), image),
    "conv padded": (
        nn.Conv(6, (3, 3), padding=((2, 0), (1, 1))),
        conv(6, (3, 3), padding=((2, 0), (1, 1))),
        image,
    ),
    "conv dilated": (nn.Conv(6, (3, 2), kernel_dilation=2), conv(6, (3, 2), dilation=2), image),
    "conv grouped without a bias": (
        nn.Conv(6, (3, 3), feature_group_count=2, use_bias=False),
        conv(6, (3, 3), groups=2, use_bias=False),
        image,
    ),
    "conv 1-D strided, padded and dilated": (
        nn.Conv(6, (3,), 2, padding=((1, 2),), kernel_dilation=2),
        conv(6, (3,), strides=2, padding=((1, 2),), dilation=2),
        line,
    ),
    "layer_norm": (nn.LayerNorm(use_fast_variance=False), layer_norm(), image),
    "embedding": (nn.Embed(12, 3), embedding(12, 3), tokens),
    "conv_transpose": (*transposed((3, 2), strides=(2, 2)), image),
    "conv_transpose 1-D": (*transposed((4,), strides=(2,)), line),
    "conv_transpose VALID": (*transposed((3, 3), strides=(2, 1), padding="VALID"), image),
    "conv_transpose with gaps": (*transposed((2, 2), strides=(3, 3)), image),
    "conv_transpose without a bias": (*transposed((3, 3), use_bias=False), image),
    "depthwise_conv": (
        nn.Conv(8, (3, 2), feature_group_count=4, kernel_dilation=(1, 2)),
        depthwise_conv((3, 2), multiplier=2, dilation=(1, 2)),
        image,
    ),
    "separable_conv": (Separable(), separable_conv(5, (3, 3), multiplier=2, strides=2), image),
    "group_norm": (nn.GroupNorm(2, use_fast_variance=False), group_norm(2), image),
    "group_norm 1-D": (nn.GroupNorm(4, use_fast_variance=False), group_norm(4), line),
}


def random_params(layer, x):
    """Random numbers in the shapes of the layer's params, in place of zeros and ones."""
    params, _ = jax.eval_shape(layer.init, jax.random.key(0), x)
    leaves, structure = jax.tree.flatten(params)
    return structure.unflatten([normal(*leaf.shape, seed=n) for n, leaf in enumerate(leaves)])


def gradients(output, params, x):
    """The output and the gradients of its product with random numbers, for params and a real x."""

    @jax.jit
    def run(params, x):
        if jnp.issubdtype(x.dtype, jnp.integer):
            y, vjp = jax.vjp(lambda params: output(params, x), params)
        else:
            y, vjp = jax.vjp(output, params, x)
        return y, vjp(normal(*y.shape, seed=9))

    return run(params, x)


@pytest.mark.parametrize(("linen", "layer", "x"), LAYERS.values(), ids=LAYERS)
def test_a_layer_and_its_gradients_agree(linen, layer, x):
    params = random_params(layer, x)
    assert spec(params) == jax.eval_shape(linen.init, jax.random.key(0), x)["params"]
    theirs = gradients(lambda params, x: linen.apply({"params": params}, x), params, x)
    ours = gradients(lambda params, x: layer.apply(params, {}, x)[0], params, x)
    assert_close(ours, theirs, TOLERANCE)


def test_linens_default_transpose_takes_our_kernel_flipped_and_with_its_channels_swapped():
    ours, theirs = conv_transpose(3, (3, 2), strides=2), nn.ConvTranspose(3, (3, 2), strides=(2, 2))
    params = random_params(ours, image)
    flipped = params | {"kernel": jnp.flip(params["kernel"], (0, 1)).swapaxes(-1, -2)}
    y, _ = ours.apply(params, {}, image)
    assert_close(y, theirs.apply({"params": flipped}, image), TOLERANCE)


def test_prelu_is_linens_with_the_same_slope_for_every_channel():
    theirs = nn.PReLU().apply({"params": {"negative_slope": jnp.float32(-0.7)}}, image)
    ours, _ = prelu().apply({"slope": jnp.full(4, -0.7)}, {}, image)
    assert_same(ours, theirs)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_stochastic_depth_is_linens_dropout_with_one_draw_per_example(dtype):
    with jax.enable_x64(dtype == "float64"):
        x, weights = normal(6, 3, 2).astype(dtype), normal(6, 3, 2, seed=9)
        theirs = nn.Dropout(0.3, broadcast_dims=(1, 2), deterministic=False)
        ours = stochastic_depth(0.3)
        expected = jax.vjp(lambda x: theirs.apply({}, x, rng=jax.random.key(1)), x)
        actual = jax.vjp(lambda x: ours.apply({}, {}, x, key=jax.random.key(1), train=True)[0], x)
        for y, pull in (expected, actual):
            assert 0 < np.count_nonzero(np.asarray(y, float).any((1, 2))) < 6
            assert y.dtype == pull(weights.astype(dtype))[0].dtype == x.dtype
        assert_close(actual[0], expected[0], ROUNDING[dtype])
        gradients = [pull(weights.astype(dtype)) for _, pull in (actual, expected)]
        assert_close(*gradients, ROUNDING[dtype])


POOLS = {"max": (nn.max_pool, max_pool), "mean": (nn.avg_pool, avg_pool)}


@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("padding", ["VALID", "SAME", ((1, 0), (0, 1))], ids=str)
@pytest.mark.parametrize("strides", [(2, 2), (1, 3)], ids=str)
def test_a_pool_and_its_gradient_agree(kind, padding, strides):
    theirs, ours = POOLS[kind]
    unpadded = {"count_include_pad": False} if kind == "mean" else {}

    def linen(_, x):
        return theirs(x, (2, 2), strides, padding, **unpadded)

    pool = ours((2, 2), strides=strides, padding=padding)
    expected = gradients(linen, {}, image)
    assert_close(gradients(lambda _, x: pool(x), {}, image), expected, TOLERANCE)
