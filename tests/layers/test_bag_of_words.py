"""A dense layer on the counts of tokens, without the counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import LayerError, bag_of_words
from jaxnets.data import text

TEXTS = ["good good tea", "bad tea", "", "unknown words only"]


@pytest.mark.parametrize("binary", [True, False])
def test_it_is_a_dense_layer_on_the_counts_of_the_vocabulary(binary):
    vocabulary = text.build_vocabulary(TEXTS[:3])
    indices, counts = vocabulary.encode(TEXTS), vocabulary.count(TEXTS, binary=binary).toarray()
    unknown = (indices == 1).sum(1)
    counts[:, 1] = np.minimum(unknown, 1) if binary else unknown
    layer = bag_of_words(len(vocabulary), 2, binary=binary, bias_init=jax.nn.initializers.ones)
    params, _ = layer.init(jax.random.key(0), indices)
    y, _ = layer.apply(params, {}, indices)
    np.testing.assert_allclose(y, counts @ params["kernel"] + 1, rtol=1e-6)


def test_the_order_of_the_tokens_and_padding_make_no_difference():
    layer = bag_of_words(9, 3)
    params, _ = layer.init(jax.random.key(0), jnp.zeros((1, 1), int))
    ys = [
        layer.apply(params, {}, jnp.array([row]))[0]
        for row in ([3, 5, 5, 0], [5, 3, 3, 3], [0, 0, 5, 3])
    ]
    assert (ys[0] == ys[1]).all() and (ys[0] == ys[2]).all()


@pytest.mark.parametrize("index", [-1, 9, 2**40])
def test_an_index_outside_the_vocabulary_gives_nan_in_its_row_only(index):
    layer = bag_of_words(9, 3)
    params, _ = layer.init(jax.random.key(0), jnp.zeros((1, 1), int))
    y, _ = layer.apply(params, {}, np.array([[1, index], [1, 2]]))
    assert np.isnan(y[0]).all() and np.isfinite(y[1]).all()


@pytest.mark.parametrize("x", [np.zeros(3, int), np.zeros((1, 2, 3), int), np.zeros((1, 2))])
def test_other_inputs_than_rows_of_indices_are_refused(x):
    with pytest.raises(LayerError, match=r"token ind"):
        bag_of_words(9, 3).init(jax.random.key(0), x)
