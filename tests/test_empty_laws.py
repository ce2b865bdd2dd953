"""Every layer and function accepts an empty batch."""

import jax
import jax.numpy as jnp
import pytest
from cases import over_all
from helpers import assert_same, spec
from results import in_all_modes, initial, start

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
    assert_same(case.layer.init(jax.random.key(0), case.x[:0]), initial(case))


@over_all
def test_an_empty_batch_gives_empty_arrays_the_same_state_and_gradients_of_zeros(case):
    params, state = start(case)
    apply = in_all_modes(case.layer, case)

    def total(params, x):
        results = apply(params, state, x)
        return results[-1][0].sum(), results  # of the training

    @jax.jit
    def run(params, x):
        return jax.grad(total, (0, 1), allow_int=True, has_aux=True)(params, x)

    shapes = jax.eval_shape(apply, params, state, case.x)
    (by_params, by_x), results = run(params, case.x[:0])
    for (y, after), (expected, _) in zip(results, shapes, strict=True):
        assert spec(y) == jax.ShapeDtypeStruct((0, *expected.shape[1:]), expected.dtype)
        assert_same(after, state)
    assert_same(by_params, jax.tree.map(jnp.zeros_like, params))
    assert by_x.shape == case.x[:0].shape


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
