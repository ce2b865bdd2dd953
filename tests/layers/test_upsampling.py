"""Upsampling and pixel shuffle: results by hand, and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, normal

from jaxnets import LayerError, pixel_shuffle, upsample


def along_a_line(layer, values):
    return layer(jnp.asarray(values, jnp.float32).reshape(1, -1, 1)).ravel().tolist()


def test_nearest_repeats_each_pixel():
    assert along_a_line(upsample(3), [1, 5]) == [1, 1, 1, 5, 5, 5]
    y = upsample((2, 1))(jnp.arange(4.0).reshape(1, 2, 2, 1))
    np.testing.assert_array_equal(y[0, ..., 0], [[0, 1], [0, 1], [2, 3], [2, 3]])


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (1, [0, 12, 24]),
        (2, [0, 3, 9, 15, 21, 24]),
        (3, [0, 0, 4, 8, 12, 16, 20, 24, 24]),
    ],
)
def test_linear_interpolates_between_centres_and_keeps_the_edges(factor, expected):
    y = along_a_line(upsample(factor, method="linear"), [0, 12, 24])
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize("method", ["nearest", "linear"])
@pytest.mark.parametrize(
    ("shape", "factor"), [((4, 1, 3), 4), ((2, 3, 1, 5), (3, 5)), ((1, 2, 3, 2, 2), (2, 1, 3))]
)
def test_it_is_the_resize_of_jax_image(shape, factor, method):
    x = normal(*shape)
    y = jax.jit(upsample(factor, method=method))(x)
    assert_close(y, jax.image.resize(x, y.shape, method), 5e-6)


def test_the_gradient_of_a_pixel_is_the_sum_of_its_copies():
    half = jnp.zeros((1, 1, 1), jnp.bfloat16)
    y, pull = jax.vjp(upsample(3000), half)
    assert pull(jnp.ones_like(y))[0].item() == jnp.asarray(3000, jnp.bfloat16)


@pytest.mark.parametrize("space", [(3,), (2, 3), (2, 1, 3)])
def test_a_pixel_shuffle_moves_each_channel_to_its_place(space):
    factor, features = 2, 3
    x = np.asarray(normal(2, *space, features * factor ** len(space)))
    y = np.asarray(jax.jit(pixel_shuffle(factor))(x))
    assert y.shape == (2, *(n * factor for n in space), features)
    for place in np.ndindex(*y.shape[1:-1]):
        pixel = tuple(n // factor for n in place)
        within = np.ravel_multi_index([n % factor for n in place], (factor,) * len(space))
        channels = np.arange(features) * factor ** len(space) + within
        np.testing.assert_array_equal(y[:, *place], x[:, *pixel][:, channels])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: upsample(0), "expects factor to be a positive integer, but got 0"),
        (lambda: upsample(1.5), "expects factor to be a positive integer, but got 1.5"),
        (lambda: upsample(2, method="cubic"), '"nearest" or "linear", but got \'cubic\''),
        (lambda: upsample((2, 2))(normal(2, 3, 1)), r"expects factor for 1 axes, but got \(2, 2\)"),
        (lambda: upsample(2)(jnp.ones((2, 0, 1))), r"at least one pixel, got \(2, 0, 1\)"),
        (lambda: pixel_shuffle(0), "expects factor to be a positive integer, but got 0"),
        (lambda: pixel_shuffle(2)(normal(2, 3, 3, 6)), r"multiples of 4, but got \(2, 3, 3, 6\)"),
    ],
)
def test_wrong_calls_are_refused(build, message):
    with pytest.raises(LayerError, match=message):
        build()
