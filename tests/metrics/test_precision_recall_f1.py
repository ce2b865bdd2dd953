"""Precision, recall and F1 against scikit-learn, for any batches and padding."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from helpers import examples
from hypothesis import given
from streams import (
    by_model,
    direct,
    direct_sums,
    jitted,
    joined,
    parts,
    streamed,
    streamed_sums,
    unchecked,
)

from jaxnets import metrics

CLASSES = 3
AVERAGES = ["macro", "micro", "weighted", None]
SCORES = {
    "precision": sklearn.metrics.precision_score,
    "recall": sklearn.metrics.recall_score,
    "f1": sklearn.metrics.f1_score,
}


@cache
def ours(name, n_classes, average):
    return getattr(metrics, name)(n_classes, average=average)


def theirs(name, true, predicted, **options):
    return SCORES[name](true, predicted, zero_division=0, **options)


def assert_every_average(name, n_classes, sums, true, predicted):
    for average in AVERAGES:
        expected = theirs(name, true, predicted, labels=range(n_classes), average=average)
        actual = jitted(ours(name, n_classes, average).value)(sums)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", SCORES)
@given(parts=parts(CLASSES))
@examples
def test_any_stream_gives_the_value_of_scikit_learn(name, parts):
    outputs, labels = joined(parts)
    sums = streamed_sums(ours(name, CLASSES, None), parts)
    assert_every_average(name, CLASSES, sums, labels, outputs.argmax(1))


@pytest.mark.parametrize("name", SCORES)
@given(parts=parts(2))
@examples
def test_the_binary_average_is_that_of_class_1_of_a_single_logit(name, parts):
    outputs, labels = joined(parts)
    expected = theirs(name, labels, outputs[:, 0] > 0, average="binary")
    actual = streamed(ours(name, 2, "binary"), parts, single_logit=True)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize(
    ("true", "predicted"),
    [
        ([1, 1, 1, 1], [1, 1, 1, 1]),
        ([1, 1, 1, 1], [0, 0, 2, 2]),
        ([0, 1, 0, 1], [2, 2, 2, 2]),
        ([0, 0, 2, 2], [2, 0, 0, 2]),
        ([2], [2]),
    ],
    ids=["one class", "never right", "never predicted", "an absent class", "one example"],
)
def test_degenerate_counts_give_the_value_of_scikit_learn(name, true, predicted):
    outputs = np.eye(CLASSES, dtype=np.float32)[predicted]
    sums = direct_sums(ours(name, CLASSES, None), outputs, np.array(true))
    assert_every_average(name, CLASSES, sums, true, predicted)


@pytest.mark.parametrize("name", SCORES)
def test_ten_thousand_examples_of_ten_classes_are_accurate_to_six_digits(name):
    rng = np.random.default_rng(0)
    labels = rng.choice(10, 10_000, p=np.arange(1, 11) / 55)
    outputs = (rng.normal(size=(10_000, 10)) + 2 * np.eye(10)[labels]).astype(np.float32)
    sums = direct_sums(ours(name, 10, None), outputs, labels)
    assert_every_average(name, 10, sums, labels, outputs.argmax(1))


@pytest.mark.parametrize("name", SCORES)
def test_no_examples_with_weight_give_0(name):
    sums = ours(name, CLASSES, "weighted").sums(
        jnp.ones((4, CLASSES)), jnp.zeros(4, int), jnp.zeros(4)
    )
    assert ours(name, CLASSES, "weighted").value(sums) == 0


def test_one_hot_labels_are_equivalent_to_class_numbers():
    outputs = jnp.asarray(np.random.default_rng(1).normal(size=(20, CLASSES)), jnp.float32)
    labels = jnp.arange(20) % CLASSES
    one_hot = jax.nn.one_hot(labels, CLASSES)
    metric = ours("f1", CLASSES, None)
    np.testing.assert_array_equal(direct(metric, outputs, one_hot), direct(metric, outputs, labels))


def test_vmap_over_a_population_gives_the_value_of_each_model():
    outputs = jnp.asarray(np.random.default_rng(2).normal(size=(4, 20, CLASSES)), jnp.float32)
    labels = jnp.arange(20) % CLASSES
    metric = ours("f1", CLASSES, "macro")
    alone = [float(direct(metric, model, labels)) for model in outputs]
    assert len(set(alone)) > 1
    np.testing.assert_allclose(by_model(metric, outputs, labels), alone, rtol=1e-6)


@pytest.mark.parametrize("name", SCORES)
def test_an_unknown_average_is_refused_with_the_valid_ones(name):
    with (
        unchecked(),
        pytest.raises(ValueError, match=f"{name} expects average .*'weighted'.* got 'samples'"),
    ):
        getattr(metrics, name)(3, average="samples")


def test_binary_of_three_classes_is_refused_with_the_cure():
    with pytest.raises(ValueError, match='2 classes for average="binary", but got 3; use "macro"'):
        metrics.precision(3, average="binary")


@pytest.mark.parametrize("n_classes", [0, -1, 2.0, True])
def test_an_invalid_number_of_classes_is_refused(n_classes):
    with (
        unchecked(),
        pytest.raises(ValueError, match=f"n_classes .* positive integer, but got {n_classes}"),
    ):
        metrics.recall(n_classes)


@pytest.mark.parametrize(("shape", "n_outputs"), [((4, 10), 10), ((4,), 2), ((4, 1), 2)])
def test_outputs_with_the_wrong_number_of_classes_are_refused(shape, n_outputs):
    with pytest.raises(ValueError, match=rf"outputs of 3 classes, but got .*use f1\({n_outputs}\)"):
        metrics.f1(3).sums(jnp.zeros(shape), jnp.zeros(4, int), jnp.ones(4))


@pytest.mark.parametrize("shape", [(4, 2), (4, 3, 1), (3,), (1, 4, 3)])
def test_labels_of_the_wrong_rank_are_refused_with_the_cure(shape):
    with pytest.raises(ValueError, match=r"one class number .* but got labels \(.*drop or add"):
        metrics.f1(3).sums(jnp.zeros((4, 3)), jnp.zeros(shape, int), jnp.ones(4))
