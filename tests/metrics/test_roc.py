"""ROC curve and area against scikit-learn, and the error bound of the streaming area."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics
from helpers import examples
from hypothesis import given
from hypothesis import strategies as st
from streams import by_model, direct, joined, parts, streamed, unchecked

from jaxnets import metrics

N = 24
curve_of, area_of = jax.jit(metrics.roc_curve), jax.jit(metrics.roc_auc)
binned = metrics.binned_roc_auc


@st.composite
def scored(draw):
    """Scores with ties, labels often of one class, and weights that may be 0, all (24,)."""
    column = st.integers(-3, 3).map(lambda i: i / 4)
    scores = draw(st.lists(column, min_size=N, max_size=N))
    labels = draw(st.lists(st.integers(0, draw(st.integers(0, 1))), min_size=N, max_size=N))
    weights = draw(st.lists(st.integers(0, 2), min_size=N, max_size=N).filter(any))
    return np.float32(scores), np.array(labels), np.float32(weights)


def theirs(score, *args, **options):
    with warnings.catch_warnings():  # warns that the result is NaN
        warnings.simplefilter("ignore", sklearn.exceptions.UndefinedMetricWarning)
        return score(*args, **options)


def assert_equal_curves(actual, expected):
    """Assert that the points are equal, except that `actual` repeats those of equal scores."""
    kept = np.unique(-np.asarray(actual[2]), return_index=True)[1]
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(np.asarray(ours)[kept], theirs, rtol=0, atol=1e-6)


@given(scored())
@examples
def test_the_curve_has_the_points_of_scikit_learns(rows):
    scores, labels, weights = rows
    expected = theirs(
        sklearn.metrics.roc_curve,
        labels,
        scores,
        sample_weight=weights,
        drop_intermediate=False,
        pos_label=1,
    )
    assert_equal_curves(curve_of(scores, labels, weights), expected)


@given(scored())
@examples
def test_the_roc_auc_is_that_of_scikit_learn(rows):
    scores, labels, weights = rows
    counted = weights > 0  # so that scikit-learn detects a single class
    expected = theirs(
        sklearn.metrics.roc_auc_score,
        labels[counted],
        scores[counted],
        sample_weight=weights[counted],
    )
    np.testing.assert_allclose(area_of(scores, labels, weights), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("separation", [0, 1, 5])
def test_twenty_thousand_distinct_scores_are_accurate_to_six_digits(separation):
    rng = np.random.default_rng(0)
    labels = rng.random(20_000) < 0.1
    scores = (rng.normal(size=20_000) + separation * labels).astype(np.float32)
    expected = sklearn.metrics.roc_auc_score(labels, scores)
    np.testing.assert_allclose(area_of(scores, labels), expected, rtol=0, atol=1e-6)
    expected = sklearn.metrics.roc_curve(labels, scores, drop_intermediate=False)
    assert_equal_curves(curve_of(scores, labels), expected)


def test_equal_scores_repeat_one_point():
    curve = curve_of(jnp.array([0.5, 0.5, 0.9]), jnp.array([1, 0, 1]))
    np.testing.assert_array_equal(curve.fpr, [0, 0, 1, 1])
    np.testing.assert_array_equal(curve.tpr, [0, 0.5, 1, 1])
    np.testing.assert_array_equal(curve.thresholds, np.float32([np.inf, 0.9, 0.5, 0.5]))


@pytest.mark.parametrize("label", [0, 1])
def test_if_a_class_is_absent_its_rate_and_the_area_are_nan(label):
    scores, labels = jnp.array([0.2, 0.1, 0.7]), jnp.full(3, label)
    curve = curve_of(scores, labels)
    present, absent = (curve.fpr, curve.tpr)[:: 1 - 2 * label]
    np.testing.assert_allclose(present, [0, 1 / 3, 2 / 3, 1], rtol=1e-6)
    assert np.isnan(absent).all()
    assert np.isnan(area_of(scores, labels))
    assert np.isnan(direct(binned, scores, labels))


def test_labels_of_minus_1_and_1_are_equivalent_to_0_and_1():
    scores, labels = jnp.array([0.2, 0.1, 0.7]), jnp.array([0, 1, 1])
    assert area_of(scores, 2 * labels - 1) == area_of(scores, labels) == 0.5


def test_a_nan_score_makes_the_result_nan_unless_its_weight_is_0():
    scores, labels = jnp.array([0.2, jnp.nan, 0.7]), jnp.array([0, 1, 1])
    assert np.isnan(area_of(scores, labels))
    assert np.isnan(direct(binned, scores, labels))
    assert area_of(scores, labels, jnp.array([1, 0, 1])) == 1


@given(seed=st.integers(0, 1_000))
@examples
def test_several_classes_give_the_one_vs_rest_mean(seed):
    rng = np.random.default_rng(seed)
    probabilities = np.exp(rng.integers(-1, 2, (N, 3)).astype(np.float32))
    probabilities /= probabilities.sum(1, keepdims=True)
    labels = rng.integers(0, 3 - seed % 2, N)  # in the other cases one class is absent
    expected = theirs(
        sklearn.metrics.roc_auc_score,
        labels,
        probabilities,
        multi_class="ovr",
        labels=range(3),
    )
    np.testing.assert_allclose(area_of(probabilities, labels), expected, rtol=0, atol=1e-6)
    one_hot = np.eye(3, dtype=int)[labels]
    np.testing.assert_allclose(area_of(probabilities, one_hot), expected, rtol=0, atol=1e-6)


def test_vmap_over_a_population_gives_the_value_of_each_model():
    scores = jnp.asarray(np.random.default_rng(2).normal(size=(4, N)), jnp.float32)
    labels = jnp.arange(N) % 2
    areas = jax.jit(jax.vmap(metrics.roc_auc, (0, None)))(scores, labels)
    expected = [sklearn.metrics.roc_auc_score(labels, model) for model in scores]
    np.testing.assert_allclose(areas, expected, rtol=0, atol=1e-6)
    alone = [float(direct(binned, model, labels)) for model in scores]
    assert len(set(alone)) > 1
    np.testing.assert_allclose(by_model(binned, scores, labels), alone, rtol=1e-6)


@given(parts=parts(2), single_logit=st.booleans())
@examples
def test_a_stream_of_bfloat16_logits_gives_the_value_of_scikit_learn(parts, single_logit):
    outputs, labels = joined(parts)
    scores = outputs[:, 0] if single_logit else outputs[:, 1] - outputs[:, 0]
    expected = theirs(sklearn.metrics.roc_auc_score, labels, scores)
    actual = streamed(binned, parts, single_logit=single_logit)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("spread", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("separation", [0, 1, 4])
def test_the_error_of_the_stream_is_at_most_half_the_rounded_pairs(spread, separation):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 3_000)
    scores = (spread * (rng.normal(size=3_000) + separation * labels)).astype(np.float32)
    rounded = np.asarray(scores.astype(jnp.bfloat16), np.float32)
    positives, negatives = (rounded[labels == c][:, None] for c in (1, 0))
    bound = (positives == negatives.T).mean() / 2
    actual = float(direct(binned, scores, labels))
    exact = sklearn.metrics.roc_auc_score(labels, scores)
    assert 1e-6 < abs(actual - exact) < bound < 6e-4 or separation == 4
    assert abs(actual - exact) <= bound + 1e-6
    assert abs(actual - sklearn.metrics.roc_auc_score(labels, rounded)) < 1e-6


def test_levels_have_the_order_of_the_numbers():
    ordered = jnp.array([-jnp.inf, -3e38, -1.0, -1e-30, 0.0, 1e-30, 0.5, 1.0, 3e38, jnp.inf])
    negative, positive = ordered[:-1], ordered[1:]
    for lower, higher in zip(negative, positive, strict=True):
        assert direct(binned, jnp.stack([higher, lower]), jnp.array([1, 0])) == 1
        assert direct(binned, jnp.stack([higher, lower]), jnp.array([0, 1])) == 0
    assert direct(binned, jnp.array([0.0, -0.0]), jnp.array([0, 1])) == 0.5


@pytest.mark.parametrize("shape", [(4, 3), (4, 2, 2), (4, 1, 1)])
def test_the_stream_refuses_more_than_two_classes_with_the_cure(shape):
    with pytest.raises(ValueError, match=r"expects outputs \(batch,\).*; .* use roc_auc"):
        binned.sums(jnp.zeros(shape), jnp.zeros(4, int), jnp.ones(4))


@pytest.mark.parametrize(
    ("scores", "labels"), [((4,), (5,)), ((4,), (4, 1)), ((4, 2), (4,)), ((0,), (0,))]
)
def test_a_curve_refuses_arrays_of_different_shapes_with_the_cure(scores, labels):
    with (
        unchecked(),
        pytest.raises(ValueError, match=r"roc_curve expects .* same shape .* scores\[:, 1\]"),
    ):
        metrics.roc_curve(np.zeros(scores, np.float32), np.zeros(labels))


@pytest.mark.parametrize("shape", [(4, 1), (4, 2, 2)])
def test_an_area_refuses_scores_of_the_wrong_rank_with_the_cure(shape):
    with pytest.raises(ValueError, match=r"roc_auc expects scores \(n,\), or .*; drop an axis"):
        metrics.roc_auc(np.zeros(shape, np.float32), np.zeros(4))
