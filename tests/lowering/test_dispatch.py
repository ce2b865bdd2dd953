"""The table that chooses the implementation of a convolution."""

import jax.numpy as jnp
import pytest

from jaxnets.lowering.cook_toom import cook_toom_conv
from jaxnets.lowering.dispatch import Convolution, choose
from jaxnets.lowering.hwnc import hwnc_patches_conv, pointwise_conv
from jaxnets.lowering.patches import patches_conv
from jaxnets.lowering.plain import plain_conv
from jaxnets.lowering.taps import taps_conv

HWNC = Convolution(
    layout="HWNC",
    taps=(3, 3),
    channels=4,
    strides=(1, 1),
    padding=((2, 1), (1, 2)),
    dilation=(1, 1),
    groups=1,
    depthwise=False,
    dtype=jnp.dtype(jnp.float32),
    patches=0,
    empty=False,
)
NHWC = HWNC._replace(layout="NHWC")
DEPTHWISE = NHWC._replace(groups=4, depthwise=True)
NONE = ((0, 0), (0, 0))


@pytest.mark.parametrize(
    ("convolution", "implementation"),
    [
        (HWNC, cook_toom_conv),
        (HWNC._replace(dtype=jnp.dtype(jnp.float64)), cook_toom_conv),
        (HWNC._replace(taps=(5, 5)), cook_toom_conv),
        (HWNC._replace(taps=(3, 6)), None),  # Cook-Toom loses digits
        (HWNC._replace(channels=3), hwnc_patches_conv),
        (HWNC._replace(padding=((3, 0), (0, 0))), None),  # as wide as the kernel
        (HWNC._replace(taps=(1, 1), padding=NONE), pointwise_conv),
        (HWNC._replace(taps=(1, 1), padding=((0, 1), (0, 0))), None),
        (HWNC._replace(strides=(1, 2)), None),
        (HWNC._replace(dilation=(2, 1)), None),
        (HWNC._replace(groups=2), None),
        (HWNC._replace(dtype=jnp.dtype(jnp.bfloat16)), None),
        (HWNC._replace(empty=True), None),
        (NHWC, patches_conv),
        (NHWC._replace(patches=2**28), patches_conv),
        (NHWC._replace(patches=2**28 + 1), plain_conv),
        (DEPTHWISE, taps_conv),
        (DEPTHWISE._replace(patches=2**28 + 1), taps_conv),
    ],
)
def test_the_cpu_has_an_implementation_per_kind_of_convolution(convolution, implementation):
    assert choose("cpu", convolution) is implementation


@pytest.mark.parametrize("backend", ["gpu", "tpu"])
def test_accelerators_use_plain_conv_and_only_in_nhwc(backend):
    assert choose(backend, NHWC) is choose(backend, DEPTHWISE) is plain_conv
    assert choose(backend, HWNC) is None
