"""Cross-entropies of logits: against scikit-learn and NumPy, with extreme and invalid inputs."""

from inspect import unwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import sklearn.metrics
from derivatives import assert_derivatives
from helpers import assert_close, normal

from jaxnets import losses

LOGITS = normal(6, 4)
LABELS = jnp.array([0, 3, 1, 2, 2, 0])
ONE_HOT = jnp.eye(4)[LABELS]

smoothed = pytest.mark.parametrize("smoothing", [0.0, 0.1])


def as_float64(x):
    return np.asarray(x, np.float64)


def test_softmax_cross_entropy_is_scikit_learns_log_loss_of_each_example():
    actual = losses.softmax_cross_entropy(LOGITS, LABELS)
    expected = [
        sklearn.metrics.log_loss([label], [row], labels=range(4))
        for label, row in zip(LABELS, scipy.special.softmax(as_float64(LOGITS), 1), strict=True)
    ]
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


@smoothed
def test_class_numbers_and_one_hot_labels_give_the_same_loss(smoothing):
    by_number, by_one_hot = (
        losses.softmax_cross_entropy(LOGITS, labels, label_smoothing=smoothing)
        for labels in (LABELS, ONE_HOT)
    )
    np.testing.assert_array_equal(by_number, by_one_hot)


def test_label_smoothing_is_uniform_over_all_classes():
    actual = losses.softmax_cross_entropy(LOGITS, LABELS, label_smoothing=0.1)
    log_p = scipy.special.log_softmax(as_float64(LOGITS), 1)
    expected = 0.9 * -log_p[np.arange(6), LABELS] + 0.1 * -log_p.mean(1)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_labels_may_be_probabilities():
    targets = jax.nn.softmax(normal(6, 4, seed=3))
    expected = -(np.asarray(targets) * scipy.special.log_softmax(as_float64(LOGITS), 1)).sum(1)
    np.testing.assert_allclose(losses.softmax_cross_entropy(LOGITS, targets), expected, rtol=1e-5)


def test_a_sequence_has_one_loss_per_step():
    actual = losses.softmax_cross_entropy(LOGITS.reshape(2, 3, 4), LABELS.reshape(2, 3))
    assert_close(actual, losses.softmax_cross_entropy(LOGITS, LABELS).reshape(2, 3), 1e-6)


@smoothed
def test_extreme_logits_have_finite_losses_and_gradients(smoothing):
    logits = jnp.array([[1e30, -1e30, 0.0], [-1e30, 1e30, 1e30]])

    def loss(logits):
        values = losses.softmax_cross_entropy(logits, jnp.array([1, 1]), label_smoothing=smoothing)
        return values.sum(), values

    gradient, values = jax.grad(loss, has_aux=True)(logits)
    assert np.isfinite(values).all() and np.isfinite(gradient).all()
    assert values[0] > 1e30


@pytest.mark.parametrize("label", [-1, 4])
def test_a_class_out_of_range_makes_only_its_row_nan(label):
    labels = LABELS.at[2].set(label)
    np.testing.assert_array_equal(
        np.isnan(losses.softmax_cross_entropy(LOGITS, labels)), np.arange(6) == 2
    )


def test_binary_cross_entropy_is_scikit_learns_log_loss_summed_per_example():
    logits, labels = normal(5, 2, 3), (normal(5, 2, 3, seed=1) > 0).astype(jnp.int32)
    actual = losses.binary_cross_entropy(logits, labels)
    expected = [
        sklearn.metrics.log_loss(y.ravel(), p.ravel(), labels=[0, 1], normalize=False)
        for y, p in zip(labels, scipy.special.expit(as_float64(logits)), strict=True)
    ]
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_extreme_binary_logits_have_finite_losses():
    logits, labels = jnp.array([1e30, -1e30, 1e30]), jnp.array([0.0, 0.0, 1.0])
    assert losses.binary_cross_entropy(logits, labels).tolist() == [np.float32(1e30), 0, 0]


@pytest.mark.parametrize(
    "loss, labels, message",
    [
        (losses.softmax_cross_entropy, LABELS[:5], r"\(6,\) or one-hot .* \(6, 4\).*int32\(5,\)"),
        (losses.softmax_cross_entropy, LABELS[:, None], r"shape \(6, 4\), but got \(6, 1\)"),
        (losses.softmax_cross_entropy, LABELS * 1.0, r"got float32\(6,\); cast .* astype\(int\)"),
        (losses.binary_cross_entropy, LABELS, r"\(6, 4\), but got \(6,\); add or drop an axis"),
    ],
)
def test_labels_of_the_wrong_shape_are_refused_with_the_cure(loss, labels, message):
    unchecked = unwrap(loss)  # annotations are checked only in tests
    with pytest.raises(ValueError, match=f"{loss.__name__} expects .*{message}"):
        unchecked(LOGITS, labels)


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: losses.softmax_cross_entropy(x, LABELS),
        lambda x: losses.softmax_cross_entropy(x, LABELS, label_smoothing=0.1),
        lambda x: losses.softmax_cross_entropy(x, ONE_HOT),
        lambda x: losses.binary_cross_entropy(x, ONE_HOT),
    ],
    ids=["numbers", "smoothed", "one-hot", "binary"],
)
def test_gradients_agree_with_finite_differences_to_second_order(loss):
    with jax.enable_x64(True):
        assert_derivatives(loss, jnp.asarray(LOGITS, jnp.float64))
