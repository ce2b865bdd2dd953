"""Properties of every public metric: dtypes, empty batches, binary labels, masked classes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from helpers import eval_state, eval_step
from streams import IDENTITY, unchecked

from jaxnets import metrics
from jaxnets.training import predict_proba

RNG = np.random.default_rng(0)
N, C = 20, 3
OUTPUTS = (RNG.integers(-4, 5, (N, C)) / 4 + np.arange(C) / 16).astype(
    np.float32
)  # exact in 16 bits
LABELS = np.arange(N) % C
PREDICTED = OUTPUTS.argmax(1)


def direct(metric, outputs, labels):
    return np.asarray(metric.value(metric.sums(outputs, labels, jnp.ones(len(labels)))))


def calibration_error(outputs, labels, bins):
    p = np.exp(np.asarray(outputs, np.float64))
    p = (p / p.sum(1, keepdims=True)).max(1)
    hits = np.asarray(outputs).argmax(1) == labels
    inside = np.ceil(p * bins).astype(int)
    return sum(abs((hits - p)[inside == b].sum()) for b in range(1, bins + 1)) / len(p)


# name: the metric, and scikit-learn's or NumPy's value for three classes
STREAMS = {
    "accuracy": (metrics.accuracy, lambda o, y: (o.argmax(1) == y).mean()),
    "mean": (metrics.mean(lambda o, y: o.argmax(-1) == 2), lambda o, y: (o.argmax(1) == 2).mean()),
    "confusion_matrix": (
        metrics.confusion_matrix(C),
        lambda o, y: sklearn.metrics.confusion_matrix(y, o.argmax(1), labels=range(C)),
    ),
    "precision": (
        metrics.precision(C),
        lambda o, y: sklearn.metrics.precision_score(y, o.argmax(1), average="macro"),
    ),
    "recall": (
        metrics.recall(C),
        lambda o, y: sklearn.metrics.recall_score(y, o.argmax(1), average="macro"),
    ),
    "f1": (metrics.f1(C), lambda o, y: sklearn.metrics.f1_score(y, o.argmax(1), average="macro")),
    "top_k_accuracy": (
        metrics.top_k_accuracy(2),
        lambda o, y: sklearn.metrics.top_k_accuracy_score(y, o, k=2),
    ),
    "expected_calibration_error": (
        metrics.expected_calibration_error(7),
        lambda o, y: calibration_error(o, y, 7),
    ),
    "reliability_diagram": (
        metrics.reliability_diagram(1),
        lambda o, y: [
            [(o.argmax(1) == y).mean()],
            [(np.exp(o) / np.exp(o).sum(1, keepdims=True)).max(1).mean()],
            [len(y)],
        ],
    ),
}
# name: the metric of a single logit
BINARY = {
    "accuracy": metrics.accuracy,
    "confusion_matrix": metrics.confusion_matrix(2),
    "precision": metrics.precision(2),
    "recall": metrics.recall(2, average=None),
    "f1": metrics.f1(2),
    "expected_calibration_error": metrics.expected_calibration_error(4),
    "reliability_diagram": metrics.reliability_diagram(2),
    "binned_roc_auc": metrics.binned_roc_auc,
}
ARRAYS = {"classes", "correct", "label_classes", "roc_auc", "roc_curve"}
CHECKS = {"Metric", "RocCurve", "batch_sums", "check_label_values", "check_labels"}


def test_the_tables_cover_every_public_metric():
    assert set(metrics.__all__) == {*STREAMS, *BINARY, *ARRAYS, *CHECKS}


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("outputs_dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("labels_dtype", ["uint8", "int32", "int64", "float32", "one-hot bool"])
def test_numpy_arrays_of_any_real_dtype_give_scikit_learns_value(name, outputs_dtype, labels_dtype):
    metric, reference = STREAMS[name]
    one_hot = np.eye(C, dtype=bool)[LABELS]
    labels = one_hot if labels_dtype == "one-hot bool" else LABELS.astype(labels_dtype)
    actual = direct(metric, OUTPUTS.astype(jnp.dtype(outputs_dtype)), labels)
    assert actual.dtype in (np.float32, np.int32)
    np.testing.assert_allclose(actual, reference(OUTPUTS, LABELS), atol=1e-6)


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("outputs_dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize(
    "recode",
    [
        lambda y: y.astype(np.uint8),
        lambda y: y == 1,
        lambda y: 2 * y - 1,
        lambda y: np.where(y == 1, 0.95, 0.05),
        lambda y: np.where(y == 1, 0.51, 0.5),
    ],
    ids=["uint8", "bool", "-1 and +1", "soft", "edge"],
)
def test_binary_labels_of_any_coding_are_equivalent(name, outputs_dtype, column, recode):
    logits, labels = OUTPUTS[:, 0], np.arange(N) % 2
    expected = direct(BINARY[name], logits, labels)
    labels, logits = recode(labels), logits.astype(jnp.dtype(outputs_dtype))
    if column:
        labels, logits = labels[:, None], logits[:, None]
    np.testing.assert_allclose(direct(BINARY[name], logits, labels), expected, atol=1e-6)


@pytest.mark.parametrize("name", STREAMS)
def test_a_metric_of_no_examples_is_nan_or_a_count_of_0(name):
    metric = STREAMS[name][0]
    actual = direct(metric, np.zeros((0, C), np.float32), np.zeros(0, int))
    counts = name in ("confusion_matrix", "precision", "recall", "f1")  # they are 0 for 0 / 0
    expected = {"reliability_diagram": [[np.nan], [np.nan], [0]]}.get(name, 0 if counts else np.nan)
    np.testing.assert_array_equal(actual, np.broadcast_to(expected, actual.shape))


@pytest.mark.parametrize("name", BINARY)
@pytest.mark.parametrize("shape", [(0,), (0, 1)])
def test_a_binary_metric_of_only_padding_is_that_of_no_rows(name, shape):
    sums = BINARY[name].sums(jnp.zeros(shape), jnp.zeros(shape), jnp.ones(0))
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(sums))


@pytest.mark.parametrize("name", ["accuracy", "top_k_accuracy", "expected_calibration_error"])
def test_a_masked_class_counts_as_the_least_likely(name):
    masked = OUTPUTS.copy()
    masked[:, 0] = -100  # its softmax is 0 as well, and scikit-learn accepts it
    expected = STREAMS[name][1](masked, LABELS)
    masked[:, 0] = -np.inf
    np.testing.assert_allclose(direct(STREAMS[name][0], masked, LABELS), expected, atol=1e-6)


def test_a_masked_class_has_probability_zero():
    outputs = np.float32([[0, -np.inf, 0], [3e38, 3e38, -3e38]])
    np.testing.assert_array_equal(
        predict_proba(eval_step(IDENTITY), eval_state({}), outputs), [[0.5, 0, 0.5], [0.5, 0.5, 0]]
    )


def test_probabilities_of_16_bit_outputs_are_those_of_float32():
    outputs = OUTPUTS.astype(jnp.bfloat16)
    probabilities = predict_proba(eval_step(IDENTITY), eval_state({}), outputs)
    assert probabilities.dtype == np.float32
    p = np.exp(OUTPUTS.astype(np.float64))
    np.testing.assert_allclose(probabilities, p / p.sum(1, keepdims=True), rtol=1e-6)


@pytest.mark.parametrize(("n_classes", "right"), [(2, 3), (4, 3)])
def test_a_confusion_matrix_of_the_wrong_size_is_refused(n_classes, right):
    with pytest.raises(ValueError, match=rf"3 classes; use confusion_matrix\({right}\)"):
        direct(metrics.confusion_matrix(n_classes), OUTPUTS, LABELS)
    with unchecked(), pytest.raises(ValueError, match="n_classes to be a positive integer"):
        metrics.confusion_matrix(0)
