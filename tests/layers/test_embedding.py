"""Embedding with all integer dtypes, inside and outside the table."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import LayerError, embedding

INTEGERS = [jnp.int8, jnp.uint8, jnp.int16, jnp.uint16, jnp.int32, jnp.uint32]


def rows(vocabulary, indices):
    """A table whose row i has the number i."""
    table = np.arange(vocabulary, dtype=np.float32)[:, None]
    return np.asarray(embedding(vocabulary, 1).apply({"embedding": table}, {}, indices)[0])[..., 0]


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("vocabulary", [100, 256, 40_000])
def test_every_integer_selects_its_row(dtype, vocabulary):
    last = min(vocabulary - 1, jnp.iinfo(dtype).max)
    indices = jnp.asarray([[0, 1], [last - 1, last]], dtype)
    np.testing.assert_array_equal(rows(vocabulary, indices), [[0, 1], [last - 1, last]])


@pytest.mark.parametrize("dtype", INTEGERS)
@pytest.mark.parametrize("vocabulary", [100, 300])
def test_an_index_outside_the_table_gives_nan(dtype, vocabulary):
    bounds = jnp.iinfo(dtype)
    outside = [i for i in (-1, -vocabulary, bounds.min, vocabulary, bounds.max)
               if bounds.min <= i <= bounds.max and not 0 <= i < vocabulary]  # fmt: skip
    selected = rows(vocabulary, jnp.asarray([*outside, 7], dtype))
    assert np.isnan(selected[:-1]).all() and selected[-1] == 7


@pytest.mark.parametrize("dtype", [np.int64, np.uint64])
@pytest.mark.parametrize("wrapped", [0, 7, 2**31])
def test_a_64_bit_numpy_index_does_not_wrap_around(dtype, wrapped):
    indices = np.array([2**32 + wrapped, 2**63 - 1, 7], dtype)
    np.testing.assert_array_equal(rows(100, indices), [np.nan, np.nan, 7])
    np.testing.assert_array_equal(rows(100, indices[2]), 7)


def test_a_64_bit_jax_index_does_not_wrap_around():
    with jax.enable_x64(True):
        y = np.asarray(rows(100, jnp.array([2**32, -(2**32), 7])))
    np.testing.assert_array_equal(y, [np.nan, np.nan, 7])


def test_only_indexed_rows_have_a_gradient():
    layer = embedding(5, 2)
    indices = jnp.asarray([1, 3, 3])
    params, _ = layer.init(jax.random.key(0), indices)
    gradient = jax.grad(lambda params: layer.apply(params, {}, indices)[0].sum())(params)
    np.testing.assert_array_equal(gradient["embedding"][:, 0], [0, 1, 0, 2, 0])


@pytest.mark.parametrize("sizes", [(0, 2), (5, -1), (5.0, 2), (5, True)])
def test_sizes_must_be_positive_integers(sizes):
    with pytest.raises(LayerError, match=r"embedding\(.* to be a positive integer, but got"):
        embedding(*sizes)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "bool"])
def test_an_index_that_is_not_an_integer_is_refused_with_the_cure(dtype):
    layer = embedding(5, 2)
    message = rf"embedding\(5, 2\) expects integers but got {dtype}; .* x.astype\(jnp.int32\)"
    with pytest.raises(LayerError, match=message):
        layer.init(jax.random.key(0), jnp.ones(3, dtype))
    with pytest.raises(LayerError, match=message):
        layer.apply({"embedding": jnp.ones((5, 2))}, {}, jnp.ones(3, dtype))
