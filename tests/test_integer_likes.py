"""Every constructor accepts all integer types except bool as sizes."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import normal

from jaxnets import (
    LayerError,
    avg_pool,
    bag_of_words,
    conv,
    conv_transpose,
    dense,
    depthwise_conv,
    embedding,
    flatten,
    group_norm,
    local_response_norm,
    max_pool,
    models,
    pixel_shuffle,
    prelu,
    separable_conv,
    serial,
    squeeze_and_excitation,
    stochastic_pool,
    sum_pool,
    upsample,
)

image, line, table = normal(2, 8, 9, 4), normal(2, 9, 4), normal(2, 5)

# A constructor with sizes converted by n, and an input.
BUILT = {
    "dense": (lambda n: dense(n(3)), table),
    "conv": (
        lambda n: conv(
            n(4), (n(3), n(2)), strides=n(2), dilation=(n(1), n(1)), groups=n(2),
            padding=((n(1), n(0)), (n(1), n(1))),
        ),
        image,
    ),
    "conv_transpose": (
        lambda n: conv_transpose(
            n(4), (n(3),), strides=n(2), padding=((n(1), n(-1)),), dilation=n(2), groups=n(2)
        ),
        line,
    ),
    "depthwise_conv": (lambda n: depthwise_conv((n(3), n(3)), multiplier=n(2)), image),
    "separable_conv": (lambda n: separable_conv(n(3), (n(3),), multiplier=n(2)), line),
    "embedding": (lambda n: embedding(n(12), n(3)), jnp.arange(6)),
    "bag_of_words": (lambda n: bag_of_words(n(12), n(3)), jnp.ones((2, 3), int)),
    "group_norm": (lambda n: group_norm(n(2)), image),
    "local_response_norm": (lambda n: serial(local_response_norm(n(3))), image),
    "max_pool": (
        lambda n: serial(max_pool((n(2), n(2)), strides=(n(1), n(2)), dilation=n(2))), image
    ),
    "avg_pool": (lambda n: serial(avg_pool((n(2),), padding=((n(1), n(0)),))), line),
    "sum_pool": (lambda n: serial(sum_pool((n(2),), strides=n(1))), line),
    "stochastic_pool": (lambda n: stochastic_pool((n(2), n(3))), image),
    "prelu": (lambda n: prelu(shared_axes=(n(1), n(2))), image),
    "flatten": (lambda n: serial(partial(flatten, start=n(2))), image),
    "upsample": (lambda n: serial(upsample((n(2), n(3)))), image),
    "pixel_shuffle": (lambda n: serial(pixel_shuffle(n(2))), image),
    "squeeze_and_excitation": (lambda n: squeeze_and_excitation(n(2)), image),
    "mlp": (lambda n: models.mlp((n(4), n(3))), table),
    "autoencoder": (lambda n: models.autoencoder(n(5), (n(4), n(3))), table),
    "linear": (lambda n: models.linear(n(3)), table),
    "lenet5": (lambda n: models.lenet5(n(7)), normal(1, 28, 28, 1)),
    "small_cnn": (lambda n: models.small_cnn(n(7), ((n(2),),)), image),
    "fcn": (lambda n: models.fcn(n(7), (n(2), n(4), n(2))), line),
    "resnet20": (lambda n: models.resnet20(n(7)), normal(1, 8, 8, 3)),
}  # fmt: skip


class Size:
    """An object that only supports `operator.index`."""

    def __init__(self, value):
        self.value = value

    def __index__(self):
        return self.value


@cache
def shapes(name, kind):
    """The shapes of the layer's variables and of its output."""
    build, x = BUILT[name]
    layer = build(kind)
    variables = jax.eval_shape(layer.init, jax.random.key(0), x)
    return variables, jax.eval_shape(layer.apply, *variables, x)


@pytest.mark.parametrize("name", BUILT)
@pytest.mark.parametrize("kind", [np.int64, np.int8, jnp.int32, Size])
def test_any_integer_type_builds_the_same_layer_as_an_int(name, kind):
    assert shapes(name, kind) == shapes(name, int)


def test_an_array_of_sizes_is_equivalent_to_a_tuple():
    sizes = np.array([3, 2])
    x = jax.ShapeDtypeStruct((2, 8, 9, 4), jnp.float32)
    for made, expected in (
        (conv(4, sizes, strides=sizes, padding=np.array([[1, 0], [1, 1]])),
         conv(4, (3, 2), strides=(3, 2), padding=((1, 0), (1, 1)))),
        (serial(max_pool(sizes)), serial(max_pool((3, 2)))),
        (depthwise_conv(sizes), depthwise_conv((3, 2))),
        (separable_conv(4, sizes), separable_conv(4, (3, 2))),
        (serial(("mlp", models.mlp(sizes))), serial(("mlp", models.mlp((3, 2))))),
    ):  # fmt: skip
        variables = jax.eval_shape(made.init, jax.random.key(0), x)
        assert variables == jax.eval_shape(expected.init, jax.random.key(0), x)
        assert jax.eval_shape(made.apply, *variables, x) == jax.eval_shape(
            expected.apply, *variables, x
        )


@pytest.mark.parametrize("wrong", [True, np.True_, jnp.array(True), 3.0, np.float64(3), "3", None])
@pytest.mark.parametrize(
    "build",
    [dense, lambda n: conv(4, (n, 3)), lambda n: max_pool((n,)), lambda n: models.mlp((n,))],
)
def test_a_size_that_is_not_an_integer_is_refused(build, wrong):
    with pytest.raises(LayerError, match=r"expects \w+ to be a positive integer, but got"):
        build(wrong)


@pytest.mark.parametrize("sizes", [3, (), np.array([]), None])
def test_an_mlp_needs_sizes(sizes):
    with pytest.raises(LayerError, match=r"mlp expects sizes, as in mlp\(\(500, 300, 10\)\), but"):
        models.mlp(sizes)


@pytest.mark.parametrize("padding", [((1.5, 1), (1, 1)), ((True, 1), (1, 1)), (("1", 1), (1, 1))])
@pytest.mark.parametrize(
    "make", [lambda p: conv(2, (3, 3), padding=p), lambda p: max_pool((3, 3), padding=p)]
)
def test_padding_must_be_integers(make, padding):
    with pytest.raises(LayerError, match=r"2 \(before, after\) pairs, but got"):
        make(padding)
