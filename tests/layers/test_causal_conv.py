"""Causal convolution: an output depends on no later input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, normal

from jaxnets import LayerError, avg_pool, conv, conv_transpose, lowering, max_pool, separable_conv

OPTIONS = pytest.mark.parametrize(
    "options", [{}, {"dilation": 2}, {"strides": 2}], ids=["plain", "dilated", "strided"]
)


def output(layer, x):
    params, _ = jax.jit(layer.init)(jax.random.key(0), x)
    return jax.jit(layer.apply)(params, {}, x)[0]


def test_it_gives_the_result_by_hand():
    layer = conv(1, (3,), padding="CAUSAL", use_bias=False)
    params = {"kernel": jnp.array([100.0, 10.0, 1.0])[:, None, None]}
    y, _ = layer.apply(params, {}, jnp.array([1.0, 2, 3, 4])[None, :, None])
    np.testing.assert_array_equal(y[0, :, 0], [1, 12, 123, 234])


@OPTIONS
def test_it_is_a_valid_convolution_after_zeros_before_the_first_value(options):
    x = normal(2, 9, 3)
    zeros = 2 * options.get("dilation", 1)
    padded = np.pad(x, ((0, 0), (zeros, 0), (0, 0)))
    expected = output(conv(4, (3,), padding="VALID", **options), padded)
    assert_close(output(conv(4, (3,), padding="CAUSAL", **options), x), expected)


@OPTIONS
@pytest.mark.parametrize("convolve", [lowering.conv, lowering.plain_conv])
def test_no_output_depends_on_a_later_input(options, convolve):
    layer = conv(2, (3,), padding="CAUSAL", convolve=convolve, **options)
    params = {"kernel": normal(3, 2, 2), "bias": normal(2, seed=1)}
    jacobian = jax.jit(jax.jacrev(lambda x: layer.apply(params, {}, x[None])[0][0]))
    depends = np.abs(jacobian(normal(8, 2))).max((1, 3)) > 0  # (output, input)
    stride = options.get("strides", 1)
    for now, row in enumerate(depends):
        assert row[now * stride] and not row[now * stride + 1 :].any()


def test_separable_convolution_may_be_causal():
    x = normal(1, 6, 2)
    changed = x.at[:, 4:].set(9.0)
    layer = separable_conv(3, (3,), padding="CAUSAL", dilation=2)
    np.testing.assert_array_equal(output(layer, x)[:, :4], output(layer, changed)[:, :4])


def test_an_image_has_no_time_and_is_refused():
    message = r'expects padding "SAME", "VALID" or 2 \(before, after\) pairs, but got \'CAUSAL\''
    with pytest.raises(LayerError, match=message):
        conv(4, (3, 3), padding="CAUSAL")
    with pytest.raises(LayerError, match='"SAME", "VALID", "CAUSAL" or 1'):
        conv(4, (3,), padding="causal")


@pytest.mark.parametrize("make", [max_pool, avg_pool])
def test_layers_that_look_ahead_refuse_it(make):
    with pytest.raises(LayerError, match='"SAME", "VALID" or 1'):
        make((2,), padding="CAUSAL")
    with pytest.raises(LayerError, match='"SAME", "VALID" or 1'):
        conv_transpose(2, (3,), padding="CAUSAL")
