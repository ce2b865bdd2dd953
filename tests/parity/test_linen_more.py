"""The same params in Linen and here give the same output and the same gradients."""

import jax
import jax.numpy as jnp
import pytest
from flax import linen as nn
from helpers import assert_close, assert_same, normal, spec

from jaxnets import conv_transpose, depthwise_conv, group_norm, prelu, separable_conv

line, image = normal(3, 9, 4), normal(2, 7, 6, 4)


class Separable(nn.Module):
    """Depthwise and pointwise convolution as Linen spells them."""

    @nn.compact
    def __call__(self, x):
        x = nn.Conv(8, (3, 3), strides=2, feature_group_count=4, use_bias=False, name="depthwise")(
            x
        )
        return nn.Conv(5, (1, 1), name="pointwise")(x)


def transposed(size, **options):
    theirs = nn.ConvTranspose(3, size, transpose_kernel=True, **options)
    return conv_transpose(3, size, **options), theirs


CASES = {
    "conv_transpose": (*transposed((3, 2), strides=(2, 2)), image),
    "conv_transpose 1-D": (*transposed((4,), strides=(2,)), line),
    "conv_transpose valid": (*transposed((3, 3), strides=(2, 1), padding="VALID"), image),
    "conv_transpose with gaps": (*transposed((2, 2), strides=(3, 3)), image),
    "conv_transpose without a bias": (*transposed((3, 3), use_bias=False), image),
    "depthwise_conv": (
        depthwise_conv((3, 2), multiplier=2, dilation=(1, 2)),
        nn.Conv(8, (3, 2), feature_group_count=4, kernel_dilation=(1, 2)),
        image,
    ),
    "separable_conv": (separable_conv(5, (3, 3), multiplier=2, strides=2), Separable(), image),
    "group_norm": (group_norm(2), nn.GroupNorm(2, use_fast_variance=False), image),
    "group_norm 1-D": (group_norm(4), nn.GroupNorm(4, use_fast_variance=False), line),
}
over_all = pytest.mark.parametrize(("ours", "theirs", "x"), CASES.values(), ids=CASES)


def params_of(ours, x):
    """Numbers of our layer's shapes, none of them a usual first value."""
    params, _ = jax.eval_shape(ours.init, jax.random.key(0), x)
    leaves, structure = jax.tree.flatten(params)
    return structure.unflatten([normal(*leaf.shape, seed=n) for n, leaf in enumerate(leaves)])


@over_all
def test_linen_has_params_of_the_same_names_shapes_and_dtypes(ours, theirs, x):
    expected = jax.eval_shape(theirs.init, jax.random.key(0), x)["params"]
    assert spec(params_of(ours, x)) == spec(expected)


@over_all
def test_output_and_gradients_are_linens(ours, theirs, x):
    params = params_of(ours, x)

    @jax.jit
    def both(params, x):
        outputs = []
        for apply in (
            lambda params, x: ours.apply(params, {}, x)[0],
            lambda params, x: theirs.apply({"params": params}, x),
        ):
            y, back = jax.vjp(apply, params, x)
            outputs.append((y, back(normal(*y.shape, seed=9))))
        return outputs

    actual, expected = both(params, x)
    assert_close(actual, expected, 2e-6)


def test_linens_default_transpose_takes_our_kernel_flipped_and_with_its_channels_swapped():
    ours, theirs = conv_transpose(3, (3, 2), strides=2), nn.ConvTranspose(3, (3, 2), strides=(2, 2))
    params = params_of(ours, image)
    turned = params | {"kernel": jnp.flip(params["kernel"], (0, 1)).swapaxes(-1, -2)}
    y, _ = ours.apply(params, {}, image)
    assert_close(y, theirs.apply({"params": turned}, image), 2e-6)


def test_prelu_is_linens_with_the_same_slope_for_every_channel():
    theirs = nn.PReLU().apply({"params": {"negative_slope": jnp.float32(-0.7)}}, image)
    ours, _ = prelu().apply({"slope": jnp.full(4, -0.7)}, {}, image)
    assert_same(ours, theirs)
