"""The same weights in Keras, on JAX, and here: layers, and their gradients, in three dtypes."""

import os
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import pytest
from helpers import assert_close, normal

from jaxnets import (
    Layer,
    avg_pool,
    conv,
    conv_transpose,
    global_max_pool,
    max_pool,
    prelu,
    serial,
    upsample,
)

os.environ.setdefault("KERAS_BACKEND", "jax")
keras = pytest.importorskip("keras", reason="Keras is not installed: pip install -e '.[parity]'")
layers = keras.layers

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(keras.backend.backend() != "jax", reason="needs Keras on JAX"),
]

TOLERANCES = {"float32": 1e-5, "bfloat16": 2**-6, "float64": 1e-12}  # of the largest value
image, volume = normal(2, 5, 6, 4), normal(2, 4, 5, 4, 2)


class Case(NamedTuple):
    """A layer, the names of its params in Keras's order, Keras's class and options, an input."""

    layer: Layer
    names: tuple[str, ...]
    make: Any
    options: dict
    x: jax.Array


KERNEL = ("kernel",)  # without a bias, whose gradient Keras sums in bfloat16
CASES = {
    "conv 3-D": Case(
        conv(4, (2, 3, 2), dilation=(1, 2, 1), use_bias=False), KERNEL, layers.Conv3D,
        {"filters": 4, "kernel_size": (2, 3, 2), "dilation_rate": (1, 2, 1), "padding": "same",
         "use_bias": False},
        volume,
    ),
    "conv_transpose dilated": Case(
        conv_transpose(3, (2, 3), padding="VALID", dilation=(1, 2), use_bias=False), KERNEL,
        layers.Conv2DTranspose,
        {"filters": 3, "kernel_size": (2, 3), "dilation_rate": (1, 2), "use_bias": False}, image,
    ),
    "conv_transpose 3-D": Case(
        conv_transpose(3, (2, 3, 2), strides=2, use_bias=False), KERNEL, layers.Conv3DTranspose,
        {"filters": 3, "kernel_size": (2, 3, 2), "strides": 2, "padding": "same",
         "use_bias": False}, volume,
    ),
    "max_pool 3-D": Case(
        serial(max_pool((2, 3, 2), strides=2, padding="SAME")), (), layers.MaxPooling3D,
        {"pool_size": (2, 3, 2), "strides": 2, "padding": "same"}, volume,
    ),
    "avg_pool 3-D": Case(
        serial(avg_pool((2, 3, 2), strides=2, padding="SAME")), (), layers.AveragePooling3D,
        {"pool_size": (2, 3, 2), "strides": 2, "padding": "same"}, volume,
    ),
    "global_max_pool": Case(serial(global_max_pool), (), layers.GlobalMaxPooling3D, {}, volume),
    "upsample": Case(serial(upsample((2, 3))), (), layers.UpSampling2D, {"size": (2, 3)}, image),
    "upsample bilinearly": Case(
        serial(upsample((2, 3), method="linear")), (), layers.UpSampling2D,
        {"size": (2, 3), "interpolation": "bilinear"}, image,
    ),
    "prelu per element": Case(prelu(shared_axes=()), ("slope",), layers.PReLU, {}, image),
    "prelu with shared axes": Case(
        prelu(shared_axes=(1, 3)), ("slope",), layers.PReLU, {"shared_axes": [1, 3]}, image
    ),
}  # fmt: skip


def random_weights(layer, names, x):
    params, _ = jax.eval_shape(layer.init, jax.random.key(0), x)
    return [normal(*params[name].shape, seed=n) for n, name in enumerate(names)]


def output_and_gradients(apply, weights, x):
    @jax.jit
    def run(weights, x):
        y, pull = jax.vjp(apply, weights, x)
        return y, pull(normal(*y.shape, seed=9).astype(y.dtype))

    return run(weights, x)


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name", CASES)
def test_a_layer_and_its_gradients_agree(name, dtype):
    layer, names, make, options, x = CASES[name]
    with jax.enable_x64(dtype == "float64"):
        weights = [w.astype(dtype) for w in random_weights(layer, names, x)]
        x = jnp.asarray(x, dtype)
        module = make(**options, dtype=dtype)
        module.build(x.shape)
        with jax.numpy_rank_promotion("allow"):
            theirs = output_and_gradients(
                lambda weights, x: module.stateless_call(weights, [], x)[0], weights, x
            )
        ours = output_and_gradients(
            lambda weights, x: layer.apply(dict(zip(names, weights, strict=True)), {}, x)[0],
            weights, x,
        )  # fmt: skip
        assert {leaf.dtype.name for leaf in jax.tree.leaves(ours)} == {dtype}
        assert_close(ours, theirs, TOLERANCES[dtype])
