"""Splitting off random rows by seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxnets.data import DataError, Split, train_test_split

sizes = st.integers(2, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n - 1)))
seeds = st.integers(0, 2**64)


def numbered(rows):
    """A split whose images and labels encode their row."""
    x = np.arange(rows, dtype=np.uint8).reshape(rows, 1, 1, 1)
    return Split(x, np.arange(rows, dtype=np.int32))


@given(sizes, seeds)
def test_the_parts_are_disjoint_exhaustive_and_in_row_order(rows_and_size, seed):
    rows, size = rows_and_size
    rest, held_out = train_test_split(numbered(rows), size, seed=seed)
    assert len(held_out.y) == size
    assert sorted([*rest.y, *held_out.y]) == list(range(rows))
    for part in (rest, held_out):
        assert np.all(np.diff(part.y) > 0)


@given(sizes, seeds)
def test_images_keep_their_labels(rows_and_size, seed):
    rows, size = rows_and_size
    for part in train_test_split(numbered(rows), size, seed=seed):
        np.testing.assert_array_equal(part.x.ravel(), part.y)
        assert part.x.dtype == np.uint8
        assert part.y.dtype == np.int32


@given(sizes, seeds)
def test_the_same_seed_holds_out_the_same_rows(rows_and_size, seed):
    rows, size = rows_and_size
    once, again = (train_test_split(numbered(rows), size, seed=seed)[1].y for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_another_seed_holds_out_other_rows():
    one, other = (
        set(train_test_split(numbered(200), 100, seed=seed)[1].y.tolist()) for seed in (0, 1)
    )
    assert one != other


def test_every_row_is_held_out_about_equally_often():
    counts = np.zeros(10)
    for seed in range(1_000):
        counts[train_test_split(numbered(10), 3, seed=seed)[1].y] += 1
    assert np.all(abs(counts - 300) < 75)  # 5 standard deviations of a binomial count


@pytest.mark.parametrize("size", [-1, 0, 10, 11])
def test_a_size_that_leaves_either_part_empty_is_refused(size):
    expected = "size of 1 to 9 rows" if size > 0 else "size to be a positive integer"
    with pytest.raises(DataError, match=f"{expected}, but got {size}"):
        train_test_split(numbered(10), size, seed=0)


def test_a_negative_seed_is_refused():
    with pytest.raises(DataError, match="seed to be an integer of at least 0, but got -1"):
        train_test_split(numbered(10), 3, seed=-1)


def test_images_without_labels_are_refused():
    split = numbered(10)
    with pytest.raises(DataError, match="10 inputs and 9 labels; pass one label per input"):
        train_test_split(split._replace(y=split.y[:9]), 3, seed=0)
