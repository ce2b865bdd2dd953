"""Scaling against scikit-learn's scalers, and one-hot encoding."""

import numpy as np
import pytest
from helpers import examples
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from jaxnets import data

# Multiples of 1/16, so that a column is constant or varies by more than rounding errors.
sixteenths = st.integers(-(2**12), 2**12).map(lambda i: i / 16)
tables = st.tuples(st.integers(1, 6), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=sixteenths)
)
CASES = {
    "standard": (data.fit_standard, StandardScaler()),
    "[0, 1]": (data.fit_range, MinMaxScaler()),
    "[-1, 1]": (lambda x: data.fit_range(x, -1, 1), MinMaxScaler((-1, 1))),
}
cases = pytest.mark.parametrize(("fit", "theirs"), CASES.values(), ids=CASES)
fits = pytest.mark.parametrize("fit", [data.fit_standard, data.fit_range])


@cases
@given(train=tables)
@examples
def test_train_and_test_rows_are_scaled_as_by_scikit_learn(fit, theirs, train):
    test = np.linspace(-400, 400, 4 * train.shape[1]).reshape(4, -1)
    scaling = fit(train)
    theirs.fit(train)
    for rows in (train, test):
        np.testing.assert_allclose(scaling.apply(rows), theirs.transform(rows), 1e-9, 1e-9)


@cases
def test_float32_rows_of_many_magnitudes_are_accurate_to_six_digits(fit, theirs):
    rng = np.random.default_rng(0)
    train = (rng.normal(size=(1_000, 3)) * [1e-3, 1, 1e4] + [5, 0, 1e6]).astype(np.float32)
    expected = theirs.fit(train.astype(np.float64)).transform(train.astype(np.float64))
    np.testing.assert_allclose(fit(train).apply(train), expected, rtol=1e-6, atol=1e-6)


def test_standard_columns_have_mean_0_and_variance_1():
    x = np.random.default_rng(0).normal(3, 7, (500, 4))
    scaled = data.fit_standard(x).apply(x)
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.var(0), 1, rtol=1e-12)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 5.0)])
def test_the_extremes_of_a_column_are_mapped_to_the_ends_of_the_range(low, high):
    scaling = data.fit_range(np.array([[1.0, -8.0], [3.0, 8.0]]), low, high)
    np.testing.assert_allclose(scaling.apply([[1.0, 8.0]]), [[low, high]], rtol=1e-15)
    width = high - low
    np.testing.assert_allclose(scaling.apply([[5.0, -24.0]]), [[high + width, low - width]])


@pytest.mark.parametrize("value", [0.1, 0.0, -3.7e8, 255])
def test_a_constant_column_becomes_0_or_the_lower_end_of_the_range(value):
    x = np.full((7, 1), value)
    np.testing.assert_array_equal(data.fit_standard(x).apply(x), np.zeros((7, 1)))
    np.testing.assert_allclose(data.fit_standard(x).apply(x + 1), np.ones((7, 1)))
    np.testing.assert_allclose(data.fit_range(x, -1, 1).apply(x), -np.ones((7, 1)), rtol=1e-7)


@pytest.mark.parametrize(
    ("given", "actual"),
    [("f2", "f2"), ("f4", "f4"), ("f8", "f8"), ("u1", "f4"), ("i8", "f4"), ("?", "f4")],
)
@fits
def test_floats_keep_their_dtype_and_other_dtypes_become_float32(fit, given, actual):
    x = np.array([[0, 1], [1, 1], [1, 0]], given)
    scaling = fit(x)
    assert scaling.apply(x).dtype == scaling.invert(x).dtype == actual
    expected = fit(x.astype(np.float64)).apply(x.astype(np.float64))
    np.testing.assert_allclose(scaling.apply(x), expected, rtol=1e-3 if given == "f2" else 1e-6)


@cases
def test_invert_undoes_apply(fit, theirs):
    del theirs
    x = np.random.default_rng(1).normal(3, 7, (20, 2))
    scaling = fit(x)
    np.testing.assert_allclose(scaling.invert(scaling.apply(x)), x, rtol=1e-12)


@fits
def test_rows_may_be_numbers_or_images(fit):
    x = np.random.default_rng(2).normal(size=(6, 2, 3, 1))
    flat = x.reshape(6, -1)
    np.testing.assert_array_equal(fit(x).apply(x), fit(flat).apply(flat).reshape(x.shape))
    np.testing.assert_array_equal(fit(flat[:, 0]).apply(flat[:, 0]), fit(flat).apply(flat)[:, 0])


@fits
def test_fitting_does_not_modify_the_rows(fit):
    x = np.arange(6.0).reshape(3, 2)
    fit(x).apply(x)
    np.testing.assert_array_equal(x, np.arange(6.0).reshape(3, 2))


@fits
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_refused_with_its_column(fit, bad):
    x = np.ones((3, 4))
    x[1, 2] = bad
    with pytest.raises(data.DataError, match=r"NaN or infinity in column \[2\]; drop or fill"):
        fit(x)


@fits
@pytest.mark.parametrize("x", [np.ones((0, 3)), np.float64(3)], ids=["no rows", "no array"])
def test_a_table_without_rows_is_refused(fit, x):
    with pytest.raises(data.DataError, match=r"rows .*\(n, \.\.\.\).*, but got"):
        fit(x)


@pytest.mark.parametrize("method", ["apply", "invert"])
@pytest.mark.parametrize("shape", [(4, 2), (3,)])
def test_rows_of_another_shape_are_refused_with_the_cure(method, shape):
    scaling = data.fit_standard(np.eye(3))
    with pytest.raises(data.DataError, match=rf"{method} expects .* \(3,\), but got .*x\[None\]"):
        getattr(scaling, method)(np.ones(shape))


@pytest.mark.parametrize(("low", "high"), [(1, 1), (1, 0), (0, np.inf), (np.nan, 1)])
def test_an_invalid_range_is_refused(low, high):
    with pytest.raises(data.DataError, match=f"finite low < high, but got {low} and {high}"):
        data.fit_range(np.eye(3), low, high)


def test_class_4_of_10_is_the_row_of_deck_s3():
    row = data.one_hot(4, 10)
    assert row.tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    assert row.dtype == np.float32


@given(
    arrays(np.int64, st.tuples(st.integers(0, 4), st.integers(1, 3)), elements=st.integers(0, 4))
)
@examples
def test_a_one_hot_row_has_a_1_at_its_class(labels):
    rows = data.one_hot(labels, 5)
    assert rows.shape == (*labels.shape, 5)
    np.testing.assert_array_equal(rows.argmax(-1), labels)
    np.testing.assert_array_equal(rows.sum(-1), np.ones(labels.shape))


@pytest.mark.parametrize("bad", [-1, 3, 200])
def test_a_label_out_of_range_is_refused_with_its_index(bad):
    with pytest.raises(data.DataError, match=rf"from 0 to 2, but got {bad} at \[1\]; raise"):
        data.one_hot(np.array([0, bad, 2]), 3)


@pytest.mark.parametrize("labels", [["4"], [1.0], [True]], ids=["text", "float", "bool"])
def test_labels_that_are_not_integers_are_refused_with_the_cure(labels):
    with pytest.raises(data.DataError, match=r"integer labels, but got .*return_inverse=True"):
        data.one_hot(labels, 10)
