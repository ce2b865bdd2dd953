"""Key streams: the key of each name and count."""

from zlib import crc32

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_same
from hypothesis import given
from hypothesis import strategies as st

from jaxnets.keys import hash_name, stream, where


def data(key):
    return jax.random.key_data(key)


def test_the_hash_of_a_name_is_its_crc_32():
    assert hash_name("123456789") == 0xCBF43926  # the check value of CRC-32
    assert hash_name("123456789").dtype == np.uint32


@given(st.text())
def test_any_text_is_a_name(name):
    assert hash_name(name) == crc32(name.encode())


def test_a_stream_is_folded_by_name_and_then_by_each_count():
    expected = jax.random.fold_in(jax.random.key(0), crc32(b"order"))
    assert_same(data(stream(jax.random.key(0), "order")), data(expected))
    for count in (3, 5):
        expected = jax.random.fold_in(expected, count)
    assert_same(data(stream(jax.random.key(0), "order", 3, 5)), data(expected))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("order", 3), ("step", 3)),
        (("step", 3), ("step", 4)),
        (("step", 1, 2), ("step", 2, 1)),
        (("step",), ("step", 0)),
    ],
)
def test_streams_and_counts_never_share_a_key(one, other):
    key = jax.random.key(0)
    assert (data(stream(key, *one)) != data(stream(key, *other))).any()


def test_a_traced_count_gives_the_key_of_the_concrete_one():
    key = jax.random.key(0)
    traced = jax.jit(lambda count: data(stream(key, "step", count)))(7)
    assert_same(traced, data(stream(key, "step", 7)))


def test_where_selects_between_used_keys():
    first, second = jax.random.split(jax.random.key(0))
    jax.random.normal(first), jax.random.normal(second)
    for take, expected in ((True, first), (False, second)):
        actual = jax.random.key_data(where(jnp.bool_(take), first, second))
        assert (actual == jax.random.key_data(jax.random.clone(expected))).all()
    assert where(jnp.array([True, False]), jnp.ones(2), jnp.zeros(2)).tolist() == [1, 0]
