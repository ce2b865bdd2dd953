"""Accuracy, the confusion matrix and means against scikit-learn."""

from functools import cache

import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from helpers import examples
from hypothesis import given
from streams import direct, joined, parts, streamed

from jaxnets import losses, metrics

CLASSES = 4
confusion = cache(metrics.confusion_matrix)
loss = metrics.mean(losses.softmax_cross_entropy)
total = metrics.mean(lambda outputs, labels: outputs.sum(-1))


@given(parts=parts(CLASSES))
@examples
def test_any_stream_gives_exactly_the_value_of_scikit_learn(parts):
    outputs, labels = joined(parts)
    true, predicted = labels, outputs.argmax(1)
    accuracy = sklearn.metrics.accuracy_score(true, predicted)
    matrix = sklearn.metrics.confusion_matrix(true, predicted, labels=range(CLASSES))
    assert streamed(metrics.accuracy, parts) == np.float32(accuracy)
    np.testing.assert_array_equal(streamed(confusion(CLASSES), parts), matrix)


@given(parts=parts(2))
@examples
def test_a_single_logit_above_0_is_class_1(parts):
    outputs, labels = joined(parts)
    predicted = outputs[:, 0] > 0
    accuracy = sklearn.metrics.accuracy_score(labels, predicted)
    matrix = sklearn.metrics.confusion_matrix(labels, predicted, labels=range(2))
    assert streamed(metrics.accuracy, parts, single_logit=True) == np.float32(accuracy)
    np.testing.assert_array_equal(streamed(confusion(2), parts, single_logit=True), matrix)


@given(parts=parts(CLASSES))
@examples
def test_the_mean_of_any_stream_is_that_of_the_rows(parts):
    outputs, labels = joined(parts)
    assert streamed(total, parts) == outputs.sum(1).mean(dtype=np.float32)
    np.testing.assert_allclose(streamed(loss, parts), direct(loss, outputs, labels), rtol=1e-6)


@pytest.mark.parametrize("metric", [loss, metrics.accuracy, confusion(CLASSES)])
@pytest.mark.parametrize("padding", [0.0, 9.0, np.nan])
@pytest.mark.parametrize("label", [-1, 0, CLASSES - 1])
def test_padded_rows_do_not_count_whatever_their_values(metric, padding, label):
    outputs = jnp.array([[0.0, 2.0, 1.0, 0.0], [padding] * CLASSES])
    sums = metric.sums(outputs, jnp.array([1, label]), jnp.array([1.0, 0.0]))
    alone = direct(metric, outputs[:1], np.array([1]))
    np.testing.assert_array_equal(metric.value(sums), alone)


@pytest.mark.parametrize("metric", [metrics.accuracy, confusion(CLASSES)])
def test_one_hot_labels_are_equivalent_to_class_numbers(metric):
    outputs = np.random.default_rng(0).normal(size=(20, CLASSES)).astype(np.float32)
    labels = np.arange(20) % CLASSES
    one_hot = np.eye(CLASSES)[labels]
    np.testing.assert_array_equal(direct(metric, outputs, one_hot), direct(metric, outputs, labels))


def test_rows_are_true_classes_and_columns_predicted_ones():
    outputs, labels = np.eye(3, dtype=np.float32)[[1, 1, 2]], np.array([0, 0, 2])
    matrix = direct(confusion(3), outputs, labels)
    assert matrix.tolist() == [[0, 2, 0], [0, 0, 0], [0, 0, 1]]
    assert matrix.dtype == jnp.int32


@pytest.mark.parametrize("shape", [(6, 2), (6, 5), (6, 1, 4)])
def test_labels_that_do_not_fit_the_outputs_are_refused_with_the_cure(shape):
    with pytest.raises(ValueError, match=r"6 examples or one-hot .*\(6, 4\).*drop or add an axis"):
        metrics.accuracy.sums(jnp.zeros((6, 4)), jnp.zeros(shape, int), jnp.ones(6))
