"""The order of an epoch has every example once, and all orders are equally likely."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2

from jaxnets.training.order import MAX_SORTED, permutation, permuted

MANY = MAX_SORTED + 4  # just above MAX_SORTED, where the Feistel network mixes least
PICKED = np.uint32([0, 1, 64, 65, 2050, MANY - 1])  # neighbours, a row apart, and the ends


@pytest.mark.parametrize("n", [1, 2, 7, MAX_SORTED, MAX_SORTED + 1, 4489, 60_000, 65_537])
def test_every_index_occurs_once(n):
    order = permutation(jax.random.key(n), n)
    assert order.dtype == jnp.int32
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


def test_the_key_determines_the_order():
    first, again, other = (permutation(jax.random.key(seed), MANY) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first == other).mean() < 0.01


def test_the_order_at_some_places_is_that_of_the_whole():
    whole = permutation(jax.random.key(0), MANY)
    np.testing.assert_array_equal(permuted(jax.random.key(0), PICKED, MANY), whole[PICKED])


@pytest.fixture(scope="module")
def places():
    """The entries at the picked places of 20,000 orders."""
    keys = jax.random.split(jax.random.key(0), 20_000)
    return np.asarray(jax.jit(jax.vmap(lambda key: permuted(key, PICKED, MANY)))(keys))


def likely(counts):
    """Whether the counts are consistent with equally likely cells, by a chi-squared test."""
    expected = counts.mean()
    return ((counts - expected) ** 2 / expected).sum() < chi2.ppf(1 - 1e-6, counts.size - 1)


def test_each_index_is_equally_likely_in_each_place(places):
    for place in places.T:
        assert likely(np.histogram(place, 20, (0, MANY))[0])


def test_two_indices_are_independent(places):
    for i, first in enumerate(places.T):
        for second in places.T[:i]:
            cells = np.histogram2d(first, second, 10, ((0, MANY), (0, MANY)))[0]
            assert likely(cells.ravel())
            assert likely(np.histogram((first - second) % MANY, 20, (0, MANY))[0])
