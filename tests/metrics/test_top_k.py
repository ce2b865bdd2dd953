"""Top-k accuracy against scikit-learn, including ties."""

import warnings
from functools import cache

import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from helpers import examples
from hypothesis import given
from streams import by_model, direct, joined, parts, streamed, unchecked

from jaxnets import metrics

CLASSES = 4
ours = cache(metrics.top_k_accuracy)


def theirs(outputs, labels, k):
    with warnings.catch_warnings():  # warns that k = classes is meaningless
        warnings.simplefilter("ignore", sklearn.exceptions.UndefinedMetricWarning)
        return sklearn.metrics.top_k_accuracy_score(
            labels, outputs, k=k, labels=range(outputs.shape[1])
        )


@pytest.mark.parametrize("k", [1, 2, 3, 4])
@given(parts=parts(CLASSES))
@examples
def test_any_stream_gives_the_value_of_scikit_learn(k, parts):
    expected = theirs(*joined(parts), k)
    np.testing.assert_allclose(streamed(ours(k), parts), expected, rtol=0, atol=1e-6)


def test_without_ties_top_1_accuracy_is_accuracy():
    outputs = np.random.default_rng(0).normal(size=(50, CLASSES)).astype(np.float32)
    labels = np.arange(50) % CLASSES
    assert direct(ours(1), outputs, labels) == direct(metrics.accuracy, outputs, labels)


def test_of_equal_outputs_the_last_class_ranks_first():
    outputs, labels = np.zeros((4, 4), np.float32), np.arange(4)
    hits = [direct(ours(2), outputs[i : i + 1], labels[i : i + 1]) for i in range(4)]
    assert hits == [0, 0, 1, 1]


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("where", [0, 1, 2, 3])
def test_nan_outputs_never_count_as_correct(k, where):
    outputs = np.zeros((1, 4), np.float32)
    outputs[0, where] = np.nan
    assert direct(ours(k), outputs, np.array([where])) == 0
    assert direct(ours(3), np.full((1, 4), np.nan, np.float32), np.array([2])) == 0


@pytest.mark.parametrize("label", [-1, 4, 99])
def test_an_invalid_label_is_never_in_the_top_k(label):
    assert direct(ours(4), -np.ones((1, 4), np.float32), np.array([label])) == 0


def test_infinite_outputs_rank_like_finite_ones():
    outputs = np.array([[-np.inf, 0, np.inf, 1]], np.float32)
    ranks = [[direct(ours(k), outputs, np.array([c])) for c in range(4)] for k in (1, 2, 3)]
    assert ranks == [[0, 0, 1, 0], [0, 0, 1, 1], [0, 1, 1, 1]]


def test_vmap_over_a_population_gives_the_value_of_each_model():
    outputs = jnp.asarray(np.random.default_rng(2).normal(size=(4, 20, CLASSES)), jnp.float32)
    labels = jnp.arange(20) % CLASSES
    alone = [float(direct(ours(2), model, labels)) for model in outputs]
    assert len(set(alone)) > 1
    np.testing.assert_allclose(by_model(ours(2), outputs, labels), alone, rtol=1e-6)


@pytest.mark.parametrize("k", [0, -2, 1.0])
def test_a_k_that_is_not_a_positive_integer_is_refused(k):
    with unchecked(), pytest.raises(ValueError, match=f"k to be a positive integer, but got {k}"):
        metrics.top_k_accuracy(k)


@pytest.mark.parametrize(("k", "shape"), [(5, (3, 4)), (1, (3,)), (1, (3, 1)), (1, (3, 2, 4))])
def test_outputs_with_too_few_classes_are_refused_with_the_cure(k, shape):
    with pytest.raises(ValueError, match=rf"at least {max(k, 2)} classes .* lower k, or use acc"):
        metrics.top_k_accuracy(k).sums(jnp.zeros(shape), jnp.zeros(3, int), jnp.ones(3))
