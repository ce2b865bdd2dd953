"""Calibration metrics against scikit-learn's `calibration_curve`."""

from functools import cache

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import examples
from hypothesis import given
from sklearn.calibration import calibration_curve
from streams import by_model, direct, joined, parts, streamed, unchecked

from jaxnets import metrics

CLASSES = 3
error, diagram = cache(metrics.expected_calibration_error), cache(metrics.reliability_diagram)


def confidences(outputs):
    """The largest softmax probability, computed in float64."""
    exponentials = np.exp(outputs.astype(np.float64))
    return exponentials.max(1) / exponentials.sum(1)


def reference(confidence, hits, n_bins):
    """Accuracy, confidence and fraction of the nonempty bins, from scikit-learn."""
    accuracy, mean = calibration_curve(hits, confidence, n_bins=n_bins, pos_label=True)
    bins = np.ceil(confidence * n_bins).astype(int)
    return accuracy, mean, np.unique(bins, return_counts=True)[1] / len(bins)


@pytest.mark.parametrize("n_bins", [1, 7, 16])  # 15 would depend on rounding at the edge 1/3
@given(parts=parts(CLASSES))
@examples
def test_any_stream_gives_the_bins_of_scikit_learn(n_bins, parts):
    outputs, labels = joined(parts)
    confidence, hits = confidences(outputs), outputs.argmax(1) == labels
    accuracy, mean, share = reference(confidence, hits, n_bins)
    rows = np.asarray(streamed(diagram(n_bins), parts))
    full = rows[2] > 0
    np.testing.assert_allclose(rows[0, full], accuracy, rtol=0, atol=1e-6)
    np.testing.assert_allclose(rows[1, full], mean, rtol=0, atol=1e-6)
    np.testing.assert_allclose(rows[2, full], share * len(labels))
    assert np.isnan(rows[:2, ~full]).all()
    expected = (share * abs(accuracy - mean)).sum()
    np.testing.assert_allclose(streamed(error(n_bins), parts), expected, rtol=0, atol=1e-6)


def test_the_value_of_ten_thousand_examples_is_accurate_to_six_digits():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 10_000)
    outputs = (2 * rng.normal(size=(10_000, 10)) + 2 * np.eye(10)[labels]).astype(np.float32)
    accuracy, mean, share = reference(confidences(outputs), outputs.argmax(1) == labels, 15)
    expected = (share * abs(accuracy - mean)).sum()
    assert expected > 0.05
    np.testing.assert_allclose(direct(error(15), outputs, labels), expected, rtol=0, atol=1e-6)


def test_a_single_logit_is_equivalent_to_that_logit_paired_with_0():
    rng = np.random.default_rng(1)
    logits, labels = rng.normal(size=40).astype(np.float32), rng.integers(0, 2, 40)
    pair = np.stack([np.zeros_like(logits), logits], 1)
    expected = direct(error(10), pair, labels)
    for outputs in (logits, logits[:, None]):
        np.testing.assert_allclose(direct(error(10), outputs, labels), expected, rtol=1e-5)


@pytest.mark.parametrize(("hits", "expected"), [([1, 1, 1, 1], 0.0), ([0, 0, 0, 0], 1.0)])
def test_the_calibration_error_at_confidence_1_is_the_error_rate(hits, expected):
    outputs = np.tile(np.float32([[100, 0]]), (4, 1))
    np.testing.assert_allclose(direct(error(15), outputs, 1 - np.array(hits)), expected, atol=1e-6)


def test_a_bin_includes_only_its_upper_edge():
    rows = direct(diagram(4), np.zeros((3, 2), np.float32), np.zeros(3, int))  # confidence 0.5
    np.testing.assert_array_equal(rows[2], [0, 3, 0, 0])
    rows = direct(diagram(4), np.full(3, 100, np.float32), np.zeros(3, int))  # confidence 1
    np.testing.assert_array_equal(rows[2], [0, 0, 0, 3])


def test_a_nan_output_makes_the_error_nan():
    assert np.isnan(direct(error(5), np.float32([[0, 1], [np.nan, 0]]), np.array([1, 0])))


def test_vmap_over_a_population_gives_the_value_of_each_model():
    outputs = jnp.asarray(np.random.default_rng(2).normal(size=(4, 20, CLASSES)), jnp.float32)
    labels = jnp.arange(20) % CLASSES
    alone = [float(direct(error(5), model, labels)) for model in outputs]
    assert len(set(alone)) > 1
    np.testing.assert_allclose(by_model(error(5), outputs, labels), alone, rtol=1e-5)


@pytest.mark.parametrize("metric", ["expected_calibration_error", "reliability_diagram"])
@pytest.mark.parametrize("n_bins", [0, -1, 2.5])
def test_an_invalid_number_of_bins_is_refused(metric, n_bins):
    with (
        unchecked(),
        pytest.raises(ValueError, match=f"{metric} expects n_bins .* integer, but got {n_bins}"),
    ):
        getattr(metrics, metric)(n_bins)
