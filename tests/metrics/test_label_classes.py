"""Classes from labels, and invalid labels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from helpers import eval_state, eval_step
from streams import IDENTITY, unchecked

from jaxnets import losses, metrics
from jaxnets.training import evaluate

N, C = 20, 3
OUTPUTS = np.random.default_rng(0).normal(size=(N, C)).astype(np.float32)
LABELS = np.arange(N) % C
BINARY = {
    "accuracy": metrics.accuracy,
    "confusion_matrix": metrics.confusion_matrix(2),
    "f1": metrics.f1(2),
    "expected_calibration_error": metrics.expected_calibration_error(4),
    "binned_roc_auc": metrics.binned_roc_auc,
}


def direct(metric, outputs, labels):
    return np.asarray(metric.value(metric.sums(outputs, labels, jnp.ones(len(labels)))))


def test_signs_and_soft_labels_give_scikit_learns_accuracy():
    outputs = np.array([[2.0], [-2.0]], np.float32)
    for labels in ([[1.0], [-1.0]], [[0.95], [0.05]]):
        assert direct(metrics.accuracy, outputs, np.array(labels)) == 1
        assert direct(metrics.accuracy, -outputs, np.array(labels)) == 0


def test_soft_labels_have_the_roc_curve_of_their_classes():
    scores, true = OUTPUTS[:, 0], np.arange(N) % 2
    expected = sklearn.metrics.roc_auc_score(true, scores)
    for labels in (true, 2 * true - 1, true == 1, np.where(true == 1, 0.95, 0.05)):
        np.testing.assert_allclose(metrics.roc_auc(scores, labels), expected, atol=1e-6)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("stranger", [2, -2, 1.5, np.nan])
def test_a_binary_label_outside_minus_1_to_1_is_refused_outside_a_trace(name, stranger):
    labels = np.array([0, 1, stranger, 1], np.float32)
    with pytest.raises(ValueError, match=r"binary labels between -1 and 1.*in row 2 .* y == 2"):
        direct(BINARY[name], np.zeros(4, np.float32), labels)


def test_a_roc_curve_refuses_an_invalid_label_unless_its_weight_is_0():
    labels, scores = np.array([1, 2, 1, 2]), np.arange(4, dtype=np.float32)
    for function in (metrics.roc_curve, metrics.roc_auc):
        with pytest.raises(ValueError, match=r"binary labels .* got 2 in row 1 \(2 of 4 labels"):
            function(scores, labels)
        assert np.isnan(jax.tree.leaves(jax.jit(function)(scores, labels))[0]).any()
    weights = np.array([1, 0, 1, 0])
    labels[0] = 0
    assert metrics.roc_auc(scores, labels, weights) == 1


def test_in_a_trace_an_invalid_label_is_never_correct():
    outputs = jnp.array([[3.0], [-3.0], [3.0]])
    hits = jax.jit(metrics.correct)(outputs, jnp.array([[1.0], [-2.0], [7.0]]))
    assert hits.tolist() == [True, False, False]
    outputs = jnp.array([[3.0, 0.0], [3.0, 0.0], [3.0, 0.0]])
    assert jax.jit(metrics.correct)(outputs, jnp.array([0.0, 0.5, -1.0])).tolist() == [True, 0, 0]


@pytest.mark.parametrize("label", [-1, C, 0.5, np.nan])
def test_the_roc_auc_with_an_invalid_label_is_nan_or_refused(label):
    scores = np.asarray(jax.nn.softmax(OUTPUTS))
    labels = np.where(np.arange(N) == 3, label, LABELS)
    assert np.isnan(jax.jit(metrics.roc_auc)(scores, labels))
    expected = sklearn.metrics.roc_auc_score(LABELS, scores, multi_class="ovr")
    np.testing.assert_allclose(metrics.roc_auc(scores, LABELS), expected, atol=1e-6)


def test_a_class_number_that_is_not_an_integer_is_refused_outside_a_trace():
    with pytest.raises(ValueError, match=r"integers, but got 0.95 in row 1 \(1 of 2 labels are"):
        metrics.label_classes(np.array([0, 0.95]), np.zeros((2, 3), np.float32))


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (6, 2), (1, 6)])
def test_labels_of_the_wrong_shape_are_refused_even_if_their_number_is_right(shape):
    with unchecked(), pytest.raises(ValueError, match="one class number for each of 6 examples"):
        metrics.correct(jnp.zeros((6, 4)), jnp.zeros(shape, int))


def test_outputs_with_more_than_one_prediction_per_example_are_refused():
    with unchecked(), pytest.raises(ValueError, match=r"\(batch, classes\), but got \(4, 4, 3\)"):
        metrics.correct(jnp.zeros((4, 4, 3)), jnp.zeros(4, int))


def test_string_labels_are_refused_with_the_cure():
    with unchecked(), pytest.raises(ValueError, match=r"numbers, but got <U3; .* np\.unique"):
        metrics.correct(np.zeros((2, 2)), np.array(["cat", "dog"]))


def test_each_step_of_a_sequence_has_a_binary_class():
    outputs = jnp.array([[[1.0], [-1.0]], [[-1.0], [1.0]]])
    assert metrics.classes(outputs).tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("outputs", "labels", "metric", "message"),
    [
        ((5, 1), np.array([0, 1, 2, 1, 0]), metrics.accuracy, "binary labels .* 2 in row 2"),
        ((5, 3), np.array([0, 1, 2, 0.5, 0]), metrics.f1(3), "integers, but got 0.5 in row 3"),
    ],
)
def test_metrics_check_the_labels_of_a_whole_split(outputs, labels, metric, message):
    spec = jax.ShapeDtypeStruct((1, *outputs[1:]), jnp.float32)
    with pytest.raises(ValueError, match=message):
        metrics.check_label_values([("metric", metric)], spec, labels)
    metrics.check_label_values([("metric", metric)], spec, np.ones(5))


def test_the_targets_of_a_regression_are_not_checked_as_classes():
    spec = jax.ShapeDtypeStruct((1, 1), jnp.float32)
    loss = metrics.mean(losses.squared_error)
    metrics.check_label_values([("loss", loss)], spec, np.array([[3.5], [-7.0]]))


def test_evaluate_accepts_signs_as_classes():
    split = np.array([[2.0], [-2.0]], np.float32), np.array([[1.0], [-1.0]], np.float32)
    named = {"accuracy": metrics.accuracy}
    assert evaluate(eval_step(IDENTITY), eval_state({}), split, metrics=named) == {"accuracy": 1.0}
