"""Word2vec: its loss is the equation, and words of one topic end up together."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets import LayerError
from jaxnets.data import DataError, text
from jaxnets.keys import stream
from jaxnets.training import Batch, fit
from jaxnets.word_vectors import WordVectors, corpus_blocks, word2vec
from jaxnets.word_vectors.negative_sampling import cbow, log_sigmoid, skip_gram
from jaxnets.word_vectors.parts import PART, context

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


def arrays(inputs, outputs):
    """Vectors; which of 7 words are near each of 5 centers; which of 4 drawn words differ."""
    random = np.random.default_rng(0)
    u, v = (random.normal(size=(n, 3)).astype(np.float32) for n in (inputs, outputs + 4))
    near = np.arange(35, dtype=np.float32).reshape(5, 7) % 3 // 2
    near[4] = 0
    return u, v, near, np.arange(20).reshape(5, 4) % 3 > 0


def test_skip_gram_is_the_sum_over_pairs_of_equation_4():
    u, v, near, differs = arrays(5, 7)
    expected = 0.0
    for i, j in np.argwhere(near):
        expected -= np.log(sigmoid(u[i] @ v[j]))
        expected -= sum(
            5 / 4 * np.log(sigmoid(-u[i] @ v[7 + k])) for k in range(4) if differs[i, k]
        )
    assert near.sum() >= 3
    loss = jax.jit(skip_gram, static_argnums=4)(u, v, near, differs, 5)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_cbow_predicts_each_word_from_the_mean_of_its_context():
    u, v, near, differs = arrays(7, 5)
    expected = 0.0
    for i in range(5):
        if (words := np.flatnonzero(near[i])).size:
            mean = u[words].mean(0)
            expected -= np.log(sigmoid(mean @ v[i]))
            expected -= sum(
                5 / 4 * np.log(sigmoid(-mean @ v[5 + k])) for k in range(4) if differs[i, k]
            )
    loss = jax.jit(cbow, static_argnums=4)(u, v, near, differs, 5)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_the_logarithm_of_the_sigmoid_is_finite_everywhere_and_so_is_its_derivative():
    x = np.array([-1e4, -80.0, -3.0, -0.0, 0.0, 2.0, 80.0, 1e4])
    value, derivative = jax.jit(jax.vmap(jax.value_and_grad(log_sigmoid)))(
        jnp.asarray(x, jnp.float32)
    )
    np.testing.assert_allclose(value, -np.logaddexp(0, -x), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(derivative, np.exp(-np.logaddexp(0, x)), rtol=1e-5, atol=1e-30)


def test_a_context_stays_within_its_window_and_sentence():
    step, nears = small("skip-gram"), set()
    words, sentences = np.arange(PART), np.full(PART, -1)
    sentences[:5], centers = [0, 0, 0, 1, 1], words < 6

    @jax.jit
    def near(key):
        parts = step.cut(words, words, sentences, centers, key)
        return context(jax.tree.map(lambda x: x[0], parts))

    for seed in range(20):
        pairs = np.argwhere(np.asarray(near(jax.random.key(seed))))
        nears |= {(i, j - 2) for i, j in pairs.tolist()}
    near_1 = {(0, 1), (1, 0), (1, 2), (2, 1), (3, 4), (4, 3)}
    assert nears == near_1 | {(0, 2), (2, 0)}


def test_a_block_is_gradient_descent_part_after_part():
    step, key = small("skip-gram", sample=0, negative=3), jax.random.key(1)
    words, sentences = rng.integers(2, 7, 60), np.arange(60) // 25
    params = {name: rng.normal(size=(7, 3)).astype(np.float32) for name in ("input", "output")}
    after, sums = jax.jit(step.descend)(params, 0.1, words, sentences, key)
    u, v = (np.array(params[name], np.float64) for name in ("input", "output"))

    @jax.jit
    def cut(key):
        kept = step.keep(words, sentences, stream(key, "keep"))
        return step.cut(kept[0], *kept, key)

    parts, pairs = jax.device_get(cut(key)), 0
    for number in range(len(parts.words)):
        part = jax.tree.map(lambda x, number=number: x[number], parts)
        near, changes = np.asarray(context(part)), [np.zeros_like(u), np.zeros_like(v)]
        for i, j in np.argwhere(near):
            center, word = part.words[i + 2], part.words[j]
            drawn = [(k, 0, 3 / 4) for k in part.drawn if k != center]
            for k, label, weight in [(word, 1, 1), *drawn]:
                error = weight * (label - sigmoid(u[center] @ v[k]))
                changes[0][center] += 0.1 * error * v[k]
                changes[1][k] += 0.1 * error * u[center]
        u, v, pairs = u + changes[0], v + changes[1], pairs + near.sum()
    np.testing.assert_allclose(after["input"], u, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after["output"], v, rtol=1e-4, atol=1e-5)
    assert len(parts.words) == 2 and sums["pairs"] == pairs and sums["words"] == 60 - 2 * 4


def test_frequent_words_are_left_out_as_often_as_in_word2vec():
    counts = np.array([0, 0, 9000, 900, 90, 10])
    share = counts[2:] / counts.sum()
    kept = np.minimum(1, np.sqrt(1e-2 / share) + 1e-2 / share)
    np.testing.assert_allclose(word2vec(counts, sample=1e-2).kept, [0, 0, *kept], rtol=1e-6)
    np.testing.assert_array_equal(word2vec(counts, sample=0).kept, [0, 0, 1, 1, 1, 1])


def test_random_words_have_the_distribution_of_their_counts_to_the_power_of_three_quarters():
    words = jax.jit(lambda key: small("skip-gram").draw(key, (20_000,)))(jax.random.key(0))
    drawn = np.bincount(words, minlength=7) / 20_000
    expected = np.array([0, 0, 3, 2, 1, 4, 5]) ** 0.75
    np.testing.assert_allclose(drawn, expected / expected.sum(), atol=0.015)


def test_kept_words_are_compacted_and_words_in_the_border_are_not_centers():
    step = small("skip-gram", sample=0)
    words = np.array([0, 0, 0, 0, 2, 1, 3, 4, 5, 6, 2, 0])
    kept, sentences, centers = jax.device_get(
        jax.jit(step.keep)(words, words + 7, jax.random.key(0))
    )
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
    x, y = (rows[:2] for rows in corpus_blocks(VOCABULARY, SENTENCES, size=8))
    step = jax.jit(train_step := word2vec(COUNTS, 4, sample=0))
    before = jax.jit(train_step.init)(jax.random.key(0), x)
    after, sums = step(before, Batch(x, y, np.zeros(2, np.float32)))
    assert sums["pairs"] == 0 == sums["objective"]
    jax.tree.map(np.testing.assert_array_equal, after.params, before.params)
    changed, _ = step(before, Batch(x, y, np.array([1, 0], np.float32)))
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
