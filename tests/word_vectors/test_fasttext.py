"""FastText: words are means over their n-grams, even words that were never seen."""

import importlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets.data import DataError, text
from jaxnets.training import fit
from jaxnets.word_vectors import Subwords, corpus_blocks, fasttext

rng = np.random.default_rng(0)
TOPICS = [
    ["teacup", "teapot", "milk", "sugar"],
    ["roadside", "railroad", "wheel", "bridge"],
]
SENTENCES = [" ".join(rng.choice(TOPICS[i % 2], 8)) for i in range(200)]
VOCABULARY = text.build_vocabulary(SENTENCES)
COUNTS = np.asarray(VOCABULARY.count(SENTENCES).sum(0))
SUBWORDS = Subwords(500, (3, 4))
STEP = fasttext(VOCABULARY, COUNTS, 8, subwords=SUBWORDS, window=3, sample=0)


@pytest.fixture(scope="module")
def trained():
    blocks = corpus_blocks(VOCABULARY, SENTENCES, window=3, size=8)
    rate = optax.linear_schedule(0.1, 1e-3, 1000)
    step = fasttext(
        VOCABULARY, COUNTS, 8, subwords=SUBWORDS, window=3, sample=0, learning_rate=rate
    )
    result = fit(step, blocks, key=jax.random.key(0), epochs=10, batch_size=2)
    return step, result


def rows_of(index):
    return STEP.rows[STEP.starts[index] : STEP.starts[index + 1]]


def test_the_rows_of_a_word_are_its_own_and_those_of_its_ngrams():
    index = VOCABULARY.index["milk"]
    expected = [index, *(len(VOCABULARY) + bucket for bucket in SUBWORDS("milk"))]
    assert rows_of(index).tolist() == expected and len(expected) == 8  # <mil, ilk>, ...
    assert rows_of(0).tolist() == [0] and STEP.starts[-1] == len(STEP.rows)


@pytest.mark.parametrize("at_once", [7, 1024])
def test_a_vector_is_the_mean_of_its_rows_and_its_change_is_added_to_each_row(at_once, monkeypatch):
    monkeypatch.setattr(
        importlib.import_module("jaxnets.word_vectors.fasttext"), "AT_ONCE", at_once
    )
    table, words = STEP.init(jax.random.key(0), None).params["input"], jnp.array([2, 5, 2, 0, 9])

    @jax.jit
    def change(table):
        vectors, places = STEP.input_table(table, words)
        after = vectors.at[places].add(np.arange(40.0).reshape(5, 8))
        return vectors[places], STEP.update_input(table, words, after, vectors)

    vectors, changed = change(table)
    expected = np.array(table)
    np.testing.assert_allclose(
        vectors, [expected[rows_of(word)].mean(0) for word in words], rtol=1e-4, atol=1e-6
    )
    for word, by in zip(np.asarray(words), np.arange(40.0).reshape(5, 8), strict=True):
        np.add.at(expected, rows_of(word), by)
    np.testing.assert_allclose(changed, expected, rtol=1e-5, atol=1e-5)


def test_unseen_words_are_near_the_words_with_their_ngrams(trained):
    step, result = trained
    vectors = step.vectors(result.train_state.params)
    for topic in TOPICS:
        assert {word for word, _ in vectors.nearest(topic[2], 3)} == {*topic} - {topic[2]}
    assert vectors.nearest("teacups", 1)[0][0] == "teacup"
    assert vectors.nearest("railroads", 1)[0][0] == "railroad"
    losses = [progress.train["loss"] for progress in result.history]
    assert losses[-1] < losses[0]


def test_an_unseen_word_is_the_mean_of_its_ngrams(trained):
    step, result = trained
    vectors, table = step.vectors(result.train_state.params), result.train_state.params["input"]
    expected = np.asarray(table)[np.add(SUBWORDS("zebra"), len(VOCABULARY))].mean(0)
    np.testing.assert_allclose(vectors["zebra"], expected, rtol=1e-5, atol=1e-7)
    assert "zebra" in vectors and "milk" in vectors and "" not in vectors
    assert vectors["milk"] is not None and len(vectors.words) == 8
    with pytest.raises(DataError, match="has no n-grams"):
        vectors[""]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Subwords(0), "buckets=1 or more"),
        (lambda: Subwords(ngrams=(4, 3)), "swap them"),
        (lambda: fasttext(VOCABULARY, [0, 1]), r"counts \(10,\)"),
    ],
)
def test_misuse_is_refused_with_the_cure(call, message):
    with pytest.raises(DataError, match=message):
        call()
