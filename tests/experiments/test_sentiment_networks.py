"""The networks on word vectors: what they read, and a language model that does not see ahead."""

from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.special import log_softmax

from experiments import contextual, sentiment, sentiment_networks, sentiment_sets
from jaxnets import Padded
from jaxnets.data import DataError
from jaxnets.word_vectors import WordVectors

pytestmark = pytest.mark.usefixtures("compile_quickly")

rng = np.random.default_rng(0)


def test_too_few_folds_or_words_and_no_vectors_are_refused_before_training():
    with pytest.raises(DataError, match="2 or more, one of which is tested, but got 1"):
        sentiment.experiment(sentiment.Config(folds=1))
    with pytest.raises(DataError, match="--vectors expects a file"):
        contextual.experiment(contextual.Config())
    with pytest.raises(DataError, match="3 or more and --folds 2 or more, but got 2 and 5"):
        contextual.experiment(contextual.Config(vectors=Path("vectors.txt"), words=2))


def test_words_that_only_other_texts_have_are_read_by_their_vectors():
    vectors = WordVectors(("good", "fine", "nice"), np.eye(3))
    texts, held_out = ("good day",) * 10 + ("fine weather", "!"), np.arange(12) > 9
    options = {"size": None, "length": 3, "seed": 0}
    fold = sentiment_sets.make_fold(texts, np.arange(12), held_out, **options, vectors=vectors)
    assert fold.vocabulary.tokens == ("day", "good", "fine")
    assert fold.test.x.tolist() == [[4, 1, 0], [1, 0, 0]]
    tables = sentiment_networks.tables_of(fold.vocabulary, 7, vectors, seed=0)
    assert tables["GloVe, frozen"].shape == (7, 3)
    np.testing.assert_array_equal(tables["GloVe, trained"][[3, 4]], [[1, 0, 0], [0, 1, 0]])


def random_params(network, x):
    """Params of the network's shapes, without compiling its `init`."""
    shapes, _ = jax.eval_shape(network.init, jax.random.key(0), x)
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(leaf.dtype), shapes)


def test_a_sentence_shorter_than_the_convolutions_is_not_lost():
    network = sentiment_networks.classifier()
    x = Padded(rng.normal(size=(3, 4, 5)).astype(np.float32), np.array([1, 1, 0]))
    params = random_params(network, x)
    params["conv1"]["kernel"][:] = 0  # what is left reads two words at once
    first, second, empty = jax.jit(lambda x: network.apply(params, {}, x)[0])(x)
    assert abs(first - second) > 1e-3 and empty == params["head"]["bias"]


def test_a_prediction_of_the_language_model_does_not_depend_on_the_word():
    model = contextual.language_model(9, 4, 3, 9)
    tokens = np.array([[2, 3, 4, 5], [2, 3, 4, 6], [6, 3, 4, 5], [2, 0, 0, 0]])
    params = random_params(model, tokens)

    @jax.jit
    def run(x):
        outputs, _ = model.apply(params, {}, x)
        return *(padded.values for padded in outputs), contextual.loss(outputs, x)

    after, before, losses = map(np.asarray, run(tokens))
    np.testing.assert_allclose(after[0], after[1], atol=1e-6)  # these differ in the last word
    np.testing.assert_allclose(before[0], before[2], atol=1e-6)  # and these in the first
    assert abs(after[0] - after[2]).max() > 1e-3 and abs(before[0] - before[1]).max() > 1e-3
    chances = log_softmax(np.stack([after[0], before[0]]), axis=-1)
    words = np.array([[3, 4, 5], [2, 3, 4]])  # the next ones, and the previous ones
    expected = -np.take_along_axis(chances, words[..., None], -1).mean()
    np.testing.assert_allclose(losses[0], expected, rtol=1e-5)
    assert losses[3] == 0
