"""Every layer and function accepts an empty batch."""

import jax
import jax.numpy as jnp
import pytest
from cases import in_both_modes, over_all, start
from helpers import assert_same, spec

from jaxnets import (
    LayerError,
    avg_pool,
    conv,
    conv_transpose,
    depthwise_conv,
    global_avg_pool,
    global_max_pool,
    max_pool,
    separable_conv,
    serial,
    squeeze_and_excitation,
    stochastic_pool,
    sum_pool,
    upsample,
)


@over_all
def test_init_takes_an_empty_batch(case):
    assert_same(
        case.layer.init(jax.random.key(0), case.x[:0]), case.layer.init(jax.random.key(0), case.x)
    )


@over_all
@in_both_modes
def test_an_empty_batch_gives_an_empty_array_of_the_right_shape_and_the_same_state(case, train):
    params, state = start(case)

    def apply(params, state, x):
        return case.layer.apply(params, state, x, key=jax.random.key(0), train=train)

    expected = jax.eval_shape(apply, params, state, case.x)[0]
    y, after = jax.jit(apply)(params, state, case.x[:0])
    assert spec(y) == jax.ShapeDtypeStruct((0, *expected.shape[1:]), expected.dtype)
    assert_same(after, state)


@over_all
def test_the_gradients_of_an_empty_batch_are_zeros_for_the_params_and_empty_for_the_input(case):
    params, state = start(case)
    empty = case.x[:0]

    def total(params, x):
        return case.layer.apply(params, state, x, key=jax.random.key(0), train=True)[0].sum()

    by_params, by_x = jax.jit(jax.grad(total, (0, 1), allow_int=True))(params, empty)
    assert_same(by_params, jax.tree.map(jnp.zeros_like, params))
    assert by_x.shape == empty.shape


CONVOLUTIONS = {
    "conv": conv(2, (2, 2)),
    "conv VALID": conv(2, (2, 2), padding="VALID"),
    "conv_transpose": conv_transpose(2, (2, 2)),
    "conv_transpose VALID": conv_transpose(2, (2, 2), padding="VALID"),
    "depthwise_conv": depthwise_conv((2, 2)),
    "separable_conv": separable_conv(2, (2, 2)),
}
POOLS = {
    "max_pool": serial(max_pool((2, 2))),
    "avg_pool SAME": serial(avg_pool((2, 2), padding="SAME")),
    "sum_pool": serial(sum_pool((2, 2))),
    "sum_pool padded": serial(sum_pool((2, 2), padding=((1, 1), (1, 1)))),
    "stochastic_pool": stochastic_pool((2, 2)),
    "global_avg_pool": serial(global_avg_pool),
    "global_max_pool": serial(global_max_pool),
    "upsample": serial(upsample(2)),
    "squeeze_and_excitation": squeeze_and_excitation(2),
}
IMAGES = CONVOLUTIONS | POOLS


@pytest.mark.parametrize("layer", IMAGES.values(), ids=IMAGES)
@pytest.mark.parametrize("shape", [(2, 0, 5, 3), (2, 5, 0, 3)])
def test_an_image_without_pixels_is_refused_with_its_sizes(layer, shape):
    params, state = layer.init(jax.random.key(0), jnp.ones((2, 5, 5, 3)))
    with pytest.raises(LayerError, match=r"expects .* got \(.*\b0\b"):
        layer.apply(params, state, jnp.ones(shape), key=jax.random.key(0), train=True)


@pytest.mark.parametrize("layer", CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_an_image_without_channels_is_refused(layer):
    with pytest.raises(LayerError, match="expects "):
        layer.init(jax.random.key(0), jnp.ones((2, 5, 5, 0)))
