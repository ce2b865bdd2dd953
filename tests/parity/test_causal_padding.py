"""Causal convolution as in Keras, and as PyTorch computes it after padding before the first value.

Outputs and the gradients of both the series and the kernel, by default and by XLA's convolution.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, normal

from jaxnets import conv, lowering

keras = pytest.importorskip("keras", reason="Keras is not installed: pip install -e '.[parity]'")
torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[parity]'")

pytestmark = pytest.mark.parity
X, KERNEL, BIAS = normal(2, 11, 3), normal(4, 3, 5, seed=1), normal(5, seed=2)
OPTIONS = pytest.mark.parametrize(("dilation", "stride"), [(1, 1), (3, 1), (1, 2)])


def ours(dilation, stride, convolve=lowering.conv):
    """The output, and the gradients of the sum of its squares in x, kernel and bias."""
    layer = conv(5, (4,), strides=stride, padding="CAUSAL", dilation=dilation, convolve=convolve)

    def output(x, kernel, bias):
        return layer.apply({"kernel": kernel, "bias": bias}, {}, x)[0]

    y, back = jax.vjp(output, X, KERNEL, BIAS)
    return y, back(2 * y)


@OPTIONS
def test_it_is_that_of_keras(dilation, stride):
    layer = keras.layers.Conv1D(5, 4, strides=stride, padding="causal", dilation_rate=dilation)
    layer.build(X.shape)
    layer.set_weights([np.asarray(KERNEL), np.asarray(BIAS)])
    assert_close(ours(dilation, stride)[0], jnp.asarray(layer(np.asarray(X))))


@OPTIONS
@pytest.mark.parametrize("convolve", [lowering.conv, lowering.plain_conv])
def test_it_is_that_of_pytorch_with_zeros_before_and_so_are_the_gradients(
    dilation, stride, convolve
):
    x, kernel, bias = (torch.tensor(np.asarray(a), requires_grad=True) for a in (X, KERNEL, BIAS))
    padded = torch.nn.functional.pad(x.permute(0, 2, 1), (3 * dilation, 0))
    y = torch.nn.functional.conv1d(
        padded, kernel.permute(2, 1, 0), bias, stride=stride, dilation=dilation
    ).permute(0, 2, 1)
    y.square().sum().backward()
    actual, gradients = ours(dilation, stride, convolve)
    assert_close(actual, y.detach().numpy())
    for gradient, theirs in zip(gradients, (x, kernel, bias), strict=True):
        assert_close(gradient, theirs.grad.numpy())
