"""Pooling: by hand, and misuse."""

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import normal

from jaxnets import LayerError, avg_pool, global_avg_pool, max_pool

SQUARE = [[12, 20, 30, 0], [8, 12, 2, 0], [34, 70, 37, 4], [112, 100, 25, 12]]


def as_image(rows):
    return jnp.asarray(rows, jnp.float32)[None, ..., None]


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (max_pool((2, 2)), [[20, 30], [112, 37]]),
        (avg_pool((2, 2)), [[13, 8], [79, 19.5]]),
        (max_pool((2, 2), strides=1), [[20, 30, 30], [70, 70, 37], [112, 100, 37]]),
        (max_pool((3, 3)), [[70]]),
        (avg_pool((3, 3), strides=3, padding="SAME"), [[13, 8], [79, 19.5]]),
        (max_pool((2, 1), padding=((1, 1), (0, 0))), [[12, 20, 30, 0], [34, 70, 37, 4], SQUARE[3]]),
    ],
    ids=["max", "mean", "overlapping", "a rest is dropped", "padding does not count", "padded"],
)
def test_it_gives_the_numbers_worked_out_by_hand(pool, expected):
    np.testing.assert_array_equal(pool(as_image(SQUARE))[0, ..., 0], expected)


def test_padding_never_wins():
    y = max_pool((3, 3), strides=1, padding="SAME")(as_image(-np.ones((2, 2))))
    np.testing.assert_array_equal(y, as_image(-np.ones((2, 2))))


@pytest.mark.parametrize("space", [(), (6,), (4, 6)])
def test_the_global_mean_is_over_every_spatial_axis(space):
    x = normal(2, *space, 3)
    expected = np.asarray(x).reshape(2, -1, 3).mean(1)
    np.testing.assert_allclose(global_avg_pool(x), expected, rtol=1e-6)


@pytest.mark.parametrize("make", [max_pool, avg_pool])
@pytest.mark.parametrize(
    ("window", "how", "message"),
    [
        (2, {}, r"one size an axis, as in \(2, 2\), but got 2"),
        ((2, 0), {}, "window to be a positive integer, but got 0"),
        ((2, 2.0), {}, "window to be a positive integer, but got 2.0"),
        ((2, 2), {"strides": -1}, "strides to be a positive integer, but got -1"),
        ((2, 2), {"strides": (2,)}, r"strides for 2 axes, but got \(2,\)"),
        ((2, 2), {"padding": "FULL"}, '"SAME", "VALID" or 2 .* but got \'FULL\''),
        (
            (2, 2),
            {"padding": ((0, 0), (0, -1))},
            "padding of at least 0, but got .*; crop",
        ),
        ((2, 2), {"padding": ((1, 1),)}, "2 .before, after. pairs, but got"),
    ],
)
def test_a_wrong_construction_is_refused(make, window, how, message):
    with pytest.raises(LayerError, match=rf"^{make.__name__} expects .*{message}"):
        make(window, **how)


@pytest.mark.parametrize("make", [max_pool, avg_pool])
def test_an_input_that_does_not_fit_is_refused(make):
    name = rf"^{make.__name__}\(\(2, 2\)\) expects"
    with pytest.raises(LayerError, match=rf"{name} \(batch, 2 axes, channels\) but got \(4, 4, 3"):
        make((2, 2))(normal(4, 4, 3))
    with pytest.raises(LayerError, match=rf"{name} an input of at least \(2, 2\) but got \(1, 4\)"):
        make((2, 2))(normal(1, 1, 4, 3))
