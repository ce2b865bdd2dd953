"""FastText: words are means over their n-grams, also words that were never seen."""

import jax
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


def test_the_rows_of_a_word_are_its_own_and_those_of_its_ngrams():
    index = VOCABULARY.index["milk"]
    rows = STEP.rows[index]
    expected = [index, *(len(VOCABULARY) + bucket for bucket in SUBWORDS("milk"))]
    assert rows[: len(expected)].tolist() == expected and len(expected) == 8  # <mil, ilk>, ...
    assert (rows[len(expected) :] == len(VOCABULARY) + 500).all()


def test_a_vector_is_the_mean_of_its_rows_and_its_gradient_is_undivided():
    params = STEP.init(jax.random.key(0), None).params
    rows = STEP.input_rows(np.array([2, 5, 0]))

    def vectors(table):
        return STEP.combine(table[rows], rows)

    table = np.asarray(params["input"])
    expected = [table[row[row < len(table)]].mean(0) for row in np.asarray(rows)]
    np.testing.assert_allclose(vectors(params["input"]), expected, rtol=1e-4, atol=1e-6)
    gradient = np.asarray(jax.grad(lambda table: vectors(table)[0].sum())(params["input"]))
    own = rows[0][rows[0] < len(table)]
    counted = np.bincount(own, minlength=len(table))
    np.testing.assert_array_equal(gradient, np.repeat(counted[:, None], 8, 1))


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
        (lambda: Subwords(ngrams=(4, 3)), "exchange them"),
        (lambda: fasttext(VOCABULARY, [0, 1]), r"counts \(10,\)"),
    ],
)
def test_misuse_is_refused_with_the_cure(call, message):
    with pytest.raises(DataError, match=message):
        call()
