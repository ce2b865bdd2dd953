"""Windows of a series: views of its past and future."""

import numpy as np
import pytest

from jaxnets.data import DataError, fit_standard, windows


@pytest.mark.parametrize("stride", [1, 2, 5])
@pytest.mark.parametrize("shape", [(13,), (13, 2), (6, 2, 3)])
def test_they_are_those_of_a_loop(shape, stride):
    series = np.random.default_rng(0).normal(size=shape)
    x, y = windows(series, past=3, future=2, stride=stride)
    starts = range(0, len(series) - 5 + 1, stride)
    assert len(x) == len(y) == (len(series) - 5) // stride + 1
    for row, start in enumerate(starts):
        np.testing.assert_array_equal(x[row], series[start : start + 3])
        np.testing.assert_array_equal(y[row], series[start + 3 : start + 5])


def test_they_are_views_that_cannot_be_written_to():
    series = np.zeros((10_000, 4), np.float32)
    x, y = windows(series, past=1_000, future=1_000)
    assert np.shares_memory(x, series) and np.shares_memory(y, series)
    assert not x.flags.writeable and not y.flags.writeable


def test_a_series_of_exactly_one_window_has_one():
    x, y = windows([1.0, 2.0, 3.0], past=2, future=1, stride=9)
    assert x.tolist() == [[1, 2]] and y.tolist() == [[3]]


def test_scaling_by_the_training_part_does_not_depend_on_the_rest():
    series = np.concatenate([np.arange(50.0), np.full(50, 1e6)])[:, None]
    scaling = fit_standard(series[:50])
    x, _ = windows(scaling.apply(series[:50]), past=49, future=1)
    np.testing.assert_allclose(x[0, :, 0], (np.arange(49) - 24.5) / np.std(np.arange(50.0)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"past": 0}, "past to be a positive integer, but got 0"),
        ({"future": -1}, "future to be a positive integer, but got -1"),
        ({"past": 2.0}, "past to be a positive integer, but got 2.0"),
        ({"stride": 0}, "stride to be a positive integer, but got 0"),
        ({"past": 9}, r"at least past \+ future = 11 values in time, but got 10; pass a longer"),
        ({"past": 2**70}, "values in time, but got 10"),
        ({"series": []}, "at least past"),
        ({"series": 3.0}, r"as an array of numbers \(n, \.\.\.\), but got"),
        ({"series": ["a"]}, "strings"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(options, message):
    arguments = {"series": np.zeros(10), "past": 3, "future": 2} | options
    with pytest.raises(DataError, match=f"^windows expects .*{message}"):
        windows(**arguments)
