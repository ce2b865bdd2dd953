"""GloVe: its counts and its loss are the paper's, and words of one topic end up together."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import LayerError
from jaxnets.data import DataError, text
from jaxnets.training import Batch, fit
from jaxnets.word_vectors import WordVectors, cooccurrences, glove

rng = np.random.default_rng(0)
TOPICS = [["tea", "cup", "milk", "sugar"], ["road", "car", "wheel", "bridge"]]
SENTENCES = [" ".join(rng.choice(TOPICS[i % 2], 8)) for i in range(60)]
VOCABULARY = text.build_vocabulary(SENTENCES)


def test_words_at_distance_d_count_one_over_d_in_both_orders():
    vocabulary = text.build_vocabulary(["a b c"], tokenizer=str.split)
    pairs, counts = cooccurrences(vocabulary, ["a b z c a", "c"], window=3)
    named = {
        (vocabulary.tokens[i - 2], vocabulary.tokens[j - 2]): count
        for (i, j), count in zip(pairs.tolist(), counts.tolist(), strict=True)
    }
    expected = {("a", "b"): 1 + 1 / 3, ("a", "c"): 1 / 3 + 1, ("b", "c"): 1 / 2}
    expected |= {(j, i): count for (i, j), count in expected.items()}
    assert named == pytest.approx(expected) and pairs.dtype == np.int32


def test_the_loss_is_equation_8():
    step = glove(9, 4, x_max=10.0, power=0.6)
    w, v = rng.normal(size=(2, 5, 5)).astype(np.float32)
    counts = np.array([0.5, 3, 9, 10, 400], np.float32)
    f = np.where(counts < 10, (counts / 10) ** 0.6, 1)
    product = (w[:, :4] * v[:, :4]).sum(1) + w[:, 4] + v[:, 4]
    got = step.loss(jnp.asarray(w), jnp.asarray(v), jnp.asarray(counts))
    np.testing.assert_allclose(got, f * (product - np.log(counts)) ** 2, rtol=1e-5)


def test_a_step_is_adagrad_on_the_rows_of_its_pairs():
    step = glove(5, 2, x_max=10.0, learning_rate=0.1)
    x, counts = np.array([[2, 3], [4, 2], [2, 0]]), np.array([5.0, 2.0, 7.0], np.float32)
    before = jax.jit(step.init)(jax.random.key(0), x)
    after, sums = jax.jit(step)(before, Batch(x, counts, np.array([1, 1, 0], np.float32)))
    params = {name: np.array(leaf, np.float64) for name, leaf in before.params.items()}
    gradients = {name: np.zeros((3, 3)) for name in params}
    for k in range(2):
        w, v = params["input"][x[k, 0]], params["output"][x[k, 1]]
        error = w[:2] @ v[:2] + w[2] + v[2] - np.log(counts[k])
        scale = 2 * (counts[k] / 10) ** 0.75 * error
        gradients["input"][k] = scale * np.append(v[:2], 1)
        gradients["output"][k] = scale * np.append(w[:2], 1)
    for column, name in enumerate(("input", "output")):
        squares = np.ones((5, 3))
        np.add.at(squares, x[:, column], gradients[name] ** 2)
        steps = np.zeros((5, 3))
        np.add.at(steps, x[:, column], gradients[name])
        expected = params[name] - 0.1 * steps / np.sqrt(squares)
        np.testing.assert_allclose(after.params[name], expected, rtol=1e-4, atol=1e-6)
    assert sums["pairs"] == 2


def test_words_of_one_topic_become_neighbours_and_products_the_logarithms_of_counts():
    pairs, counts = cooccurrences(VOCABULARY, SENTENCES, window=5)
    step = glove(len(VOCABULARY), 6, x_max=20.0, learning_rate=0.1)
    result = fit(step, (pairs, counts), key=jax.random.key(0), epochs=400, batch_size=8)
    params = result.train_state.params
    vectors = WordVectors(VOCABULARY.tokens, step.vectors(params)[2:])
    for topic in TOPICS:
        assert {word for word, _ in vectors.nearest(topic[0], 3)} == {*topic[1:]}
    w, v = np.asarray(params["input"])[pairs[:, 0]], np.asarray(params["output"])[pairs[:, 1]]
    product = (w[:, :6] * v[:, :6]).sum(1) + w[:, 6] + v[:, 6]
    assert abs(product - np.log(counts)).mean() < 0.05


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cooccurrences(VOCABULARY, ["tea", "zebra"]), "two words of the vocabulary"),
        (lambda: cooccurrences(VOCABULARY, SENTENCES, window=0), "window=1 or more"),
        (lambda: cooccurrences(VOCABULARY, "tea cup"), r"write \[text\]"),
        (lambda: glove(0), "vocabulary=1 or more"),
        (lambda: glove(5, power=2), "power from 0 to 1"),
        (lambda: glove(5, x_max=0), "a count above 0"),
        (lambda: glove(5, x_max=float("nan")), "a count above 0"),
    ],
)
def test_misuse_is_refused_with_the_cure(call, message):
    with pytest.raises((DataError, LayerError), match=message):
        call()
