"""`flatten` and `scale_pixels`."""

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import normal

from jaxnets import LayerError, flatten, scale_pixels


@pytest.mark.parametrize("shape", [(4,), (4, 3), (4, 3, 2), (4, 2, 3, 5)])
def test_flatten_keeps_the_batch_and_the_order(shape):
    x = normal(*shape)
    np.testing.assert_array_equal(flatten(x), np.asarray(x).reshape(4, -1))


def test_flatten_can_start_from_any_axis():
    x = normal(4, 3, 2, 5)
    for start, shape in ((0, (120,)), (2, (4, 3, 10)), (3, (4, 3, 2, 5)), (4, (4, 3, 2, 5, 1))):
        np.testing.assert_array_equal(flatten(x, start), np.asarray(x).reshape(shape))
    with pytest.raises(LayerError, match=r"start from 0 to 4 for \(4, 3, 2, 5\), but got 5"):
        flatten(x, 5)
    for start in (-1, 1.5):
        with pytest.raises(LayerError, match=f"an integer of at least 0, but got {start}"):
            flatten(x, start)


def test_pixels_become_fractions():
    y = scale_pixels()(jnp.asarray([[0, 51, 255]], jnp.uint8))
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, [[0, 0.2, 1]], rtol=1e-6)


def test_pixels_are_centred_and_scaled_by_channel():
    x = jnp.full((1, 2, 2, 3), 102, jnp.uint8)
    y = scale_pixels(mean=(0.4, 0.2, 0.0), std=(1.0, 0.5, 0.1))(x)
    np.testing.assert_allclose(y, np.broadcast_to([0, 0.4, 4], x.shape), rtol=1e-5, atol=1e-6)


def test_subtracting_the_mean_image_gives_every_pixel_a_mean_of_0():
    x = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), np.uint8)
    mean, std = x.mean(0) / 255, x.std(0) / 255
    y = scale_pixels(mean=mean, std=std)(jnp.asarray(x))
    np.testing.assert_allclose(y.mean(0), np.zeros((4, 5, 3)), atol=1e-6)
    np.testing.assert_allclose(y.std(0), np.ones((4, 5, 3)), atol=1e-5)
    np.testing.assert_allclose(scale_pixels(mean)(x[:1]), (x[:1] / 255 - mean), atol=1e-6)
