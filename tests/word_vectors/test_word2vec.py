"""Word2vec: its loss is the equation, and words of one topic end up together."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets import LayerError
from jaxnets.data import DataError, text
from jaxnets.training import Batch, fit
from jaxnets.word_vectors import WordVectors, corpus_blocks, word2vec

rng = np.random.default_rng(0)
TOPICS = [
    ["tea", "cup", "milk", "sugar", "lemon", "pot"],
    ["road", "car", "wheel", "bridge", "fuel", "map"],
]
SENTENCES = [" ".join(rng.choice(TOPICS[i % 2], 8)) for i in range(200)]
VOCABULARY = text.build_vocabulary(SENTENCES)
COUNTS = np.asarray(VOCABULARY.count(SENTENCES).sum(0))


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def small(model, **options):
    return word2vec([0, 0, 3, 2, 1, 4, 5], 3, model=model, window=2, drawn=4, **options)


def arrays(step):
    """Vectors of 5 words in a row and of the drawn words, and which pairs are near and differ."""
    keys = jax.random.split(jax.random.key(0), 3)
    inputs, outputs = jax.random.normal(keys[0], (5, 3)), jax.random.normal(keys[1], (9, 3))
    sentences, centers = jnp.array([0, 0, 0, 1, 1]), jnp.array([True, True, False, True, True])
    near = step.context(sentences, centers, keys[2])
    return inputs, outputs, near, jnp.arange(20).reshape(5, 4) % 3 > 0


def test_skip_gram_is_the_sum_over_pairs_of_equation_4():
    step = small("skip-gram", negative=5)
    u, v, near, differs = arrays(step)
    expected = 0.0
    for i, j in np.argwhere(np.asarray(near)):
        expected -= np.log(sigmoid(u[i] @ v[j]))
        expected -= sum(
            5 / 4 * np.log(sigmoid(-u[i] @ v[5 + k])) for k in range(4) if differs[i, k]
        )
    assert near.sum() >= 3
    np.testing.assert_allclose(step.skip_gram(u, v, near, differs), expected, rtol=1e-5)


def test_cbow_predicts_each_word_from_the_mean_of_its_context():
    step = small("cbow", negative=5)
    u, v, near, differs = arrays(step)
    expected = 0.0
    for i in range(5):
        if (context := np.flatnonzero(near[i])).size:
            mean = np.asarray(u)[context].mean(0)
            expected -= np.log(sigmoid(mean @ v[i]))
            expected -= sum(
                5 / 4 * np.log(sigmoid(-mean @ v[5 + k])) for k in range(4) if differs[i, k]
            )
    np.testing.assert_allclose(step.cbow(u, v, near, differs), expected, rtol=1e-5)


def test_a_context_stays_within_its_window_and_sentence():
    step, sentences = small("skip-gram"), jnp.array([0, 0, 0, 1, 1, -1, -1])
    centers, nears = jnp.arange(7) < 6, set()
    for seed in range(20):
        near = np.asarray(step.context(sentences, centers, jax.random.key(seed)))
        nears |= {tuple(pair) for pair in np.argwhere(near).tolist()}
    near_1 = {(0, 1), (1, 0), (1, 2), (2, 1), (3, 4), (4, 3)}
    assert nears == near_1 | {(0, 2), (2, 0)}


def test_frequent_words_are_left_out_as_often_as_in_word2vec():
    counts = np.array([0, 0, 9000, 900, 90, 10])
    share = counts[2:] / counts.sum()
    kept = np.minimum(1, np.sqrt(1e-2 / share) + 1e-2 / share)
    np.testing.assert_allclose(word2vec(counts, sample=1e-2).kept, [0, 0, *kept], rtol=1e-6)
    np.testing.assert_array_equal(word2vec(counts, sample=0).kept, [0, 0, 1, 1, 1, 1])


def test_random_words_have_the_distribution_of_their_counts_to_the_power_of_three_quarters():
    step = replace(small("skip-gram"), drawn=20_000)
    drawn = np.bincount(step.draw(jax.random.key(0)), minlength=7) / 20_000
    expected = np.array([0, 0, 3, 2, 1, 4, 5]) ** 0.75
    np.testing.assert_allclose(drawn, expected / expected.sum(), atol=0.015)


def test_words_that_are_kept_move_together_and_the_borders_are_no_centers():
    step = small("skip-gram", sample=0)
    words = jnp.array([0, 0, 0, 0, 2, 1, 3, 4, 5, 6, 2, 0])
    kept, sentences, centers = step.keep(words, words + 7, jax.random.key(0))
    assert kept[:7].tolist() == [2, 3, 4, 5, 6, 2, 0] and not kept[7:].any()
    assert sentences[:7].tolist() == [9, 10, 11, 12, 13, 9, -1]
    assert centers[:7].tolist() == [True, True, True, False, False, False, False]


@pytest.mark.parametrize("model", ["skip-gram", "cbow"])
def test_words_of_one_topic_become_neighbours(model):
    blocks = corpus_blocks(VOCABULARY, SENTENCES, window=3, size=8)
    rate = optax.linear_schedule(0.1, 1e-3, 1000)
    step = word2vec(COUNTS, 8, model=model, window=3, sample=0, learning_rate=rate)
    result = fit(step, blocks, key=jax.random.key(0), epochs=10, batch_size=2)
    vectors = WordVectors(VOCABULARY.tokens, result.train_state.params["input"][2:])
    for topic in TOPICS:
        assert {word for word, _ in vectors.nearest(topic[0], 5)} == {*topic[1:]}
    losses = [progress.train["loss"] for progress in result.history]
    assert losses[-1] < losses[0]
    assert not result.train_state.params["output"][:2].any()


def test_a_block_of_weight_0_changes_nothing():
    x, y = (jnp.array(rows[:2]) for rows in corpus_blocks(VOCABULARY, SENTENCES, size=8))
    step = word2vec(COUNTS, 4, sample=0)
    before = step.init(jax.random.key(0), x)
    after, sums = step(before, Batch(x, y, jnp.zeros(2)))
    assert sums["pairs"] == 0 == sums["objective"]
    jax.tree.map(np.testing.assert_array_equal, after.params, before.params)
    changed, _ = step(before, Batch(x, y, jnp.array([1.0, 0.0])))
    assert (changed.params["output"] != 0).any()


def test_a_corpus_is_cut_into_blocks_with_a_border():
    vocabulary = text.build_vocabulary(["a b c"], tokenizer=str.split)
    x, y = corpus_blocks(vocabulary, ["a b z c", "b a"], window=1, size=3)
    assert x.tolist() == [[0, 0, 2, 3, 4, 3, 2], [4 - 1, 4, 3, 2, 0, 0, 0]]
    assert y.tolist() == [[-1, -1, 0, 0, 0, 1, 1], [0, 0, 1, 1, -1, -1, -1]]
    assert x.dtype == y.dtype == np.int32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: corpus_blocks(VOCABULARY, ["zebra"]), "words of the vocabulary"),
        (lambda: corpus_blocks(VOCABULARY, SENTENCES, size=0), "size=1 or more"),
        (lambda: word2vec([1, 2], 0), "features=1 or more"),
        (lambda: word2vec([1, 2], model="glove"), '"skip-gram" or "cbow"'),
        (lambda: word2vec([[1, 2]]), "see Vocabulary.count"),
        (lambda: word2vec([0, 0]), "not all 0"),
        (lambda: word2vec([1, 2], sample=-1), "sample of at least 0"),
    ],
)
def test_misuse_is_refused_with_the_cure(call, message):
    with pytest.raises((DataError, LayerError), match=message):
        call()
