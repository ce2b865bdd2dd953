"""Losses against scikit-learn, NumPy and finite differences; penalties against sums by hand."""

from inspect import unwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import sklearn.metrics
from helpers import assert_close, normal
from jax.test_util import check_grads

from jaxnets import losses

LOGITS = normal(6, 4)
LABELS = jnp.array([0, 3, 1, 2, 2, 0])
ONE_HOT = jnp.eye(4)[LABELS]
PARAMS = {
    "fc1": {"kernel": normal(3, 2), "bias": normal(2, seed=1)},
    "head": {"kernel": normal(2, 4, seed=2)},
}

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


def test_smoothed_labels_spread_their_share_evenly_over_all_classes():
    actual = losses.softmax_cross_entropy(LOGITS, LABELS, label_smoothing=0.1)
    log_p = scipy.special.log_softmax(as_float64(LOGITS), 1)
    expected = 0.9 * -log_p[np.arange(6), LABELS] + 0.1 * -log_p.mean(1)
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_labels_may_be_probabilities():
    targets = jax.nn.softmax(normal(6, 4, seed=3))
    expected = -(np.asarray(targets) * scipy.special.log_softmax(as_float64(LOGITS), 1)).sum(1)
    np.testing.assert_allclose(losses.softmax_cross_entropy(LOGITS, targets), expected, rtol=1e-5)


def test_a_sequence_has_a_loss_at_every_step():
    actual = losses.softmax_cross_entropy(LOGITS.reshape(2, 3, 4), LABELS.reshape(2, 3))
    assert_close(actual, losses.softmax_cross_entropy(LOGITS, LABELS).reshape(2, 3), 1e-6)


@smoothed
def test_extreme_logits_have_finite_losses_and_gradients(smoothing):
    logits = jnp.array([[1e30, -1e30, 0.0], [-1e30, 1e30, 1e30]])

    def loss(logits):
        each = losses.softmax_cross_entropy(logits, jnp.array([1, 1]), label_smoothing=smoothing)
        return each.sum(), each

    gradient, each = jax.grad(loss, has_aux=True)(logits)
    assert np.isfinite(each).all() and np.isfinite(gradient).all()
    assert each[0] > 1e30


@pytest.mark.parametrize("stranger", [-1, 4])
def test_a_class_out_of_range_makes_that_row_alone_nan(stranger):
    labels = LABELS.at[2].set(stranger)
    np.testing.assert_array_equal(
        np.isnan(losses.softmax_cross_entropy(LOGITS, labels)), np.arange(6) == 2
    )


def test_binary_cross_entropy_is_scikit_learns_log_loss_of_every_output_summed_by_example():
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


def test_squared_error_sums_over_the_outputs_of_an_example():
    outputs, targets = normal(5, 2, 3), normal(5, 2, 3, seed=1)
    expected = np.square(np.asarray(outputs) - np.asarray(targets)).sum((1, 2))
    np.testing.assert_allclose(losses.squared_error(outputs, targets), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "loss, labels, message",
    [
        (losses.softmax_cross_entropy, LABELS[:5], r"\(6,\) or one-hot .* \(6, 4\).*int32\(5,\)"),
        (losses.softmax_cross_entropy, LABELS[:, None], r"shape \(6, 4\), but got \(6, 1\)"),
        (losses.softmax_cross_entropy, LABELS * 1.0, r"got float32\(6,\); cast .* astype\(int\)"),
        (losses.binary_cross_entropy, LABELS, r"\(6, 4\), but got \(6,\); add or drop an axis"),
        (losses.squared_error, LOGITS[:, :1], r"\(6, 4\), but got \(6, 1\); add or drop an axis"),
    ],
)
def test_labels_of_another_shape_are_refused_with_the_cure(loss, labels, message):
    unchecked = unwrap(loss)  # annotations are checked under test alone
    with pytest.raises(ValueError, match=f"{loss.__name__} expects .*{message}"):
        unchecked(LOGITS, labels)


@pytest.mark.parametrize(
    "names, chosen",
    [
        ("kernel$", ["fc1/kernel", "head/kernel"]),
        ("^fc1/", ["fc1/kernel", "fc1/bias"]),
        ("bias|head", ["fc1/bias", "head/kernel"]),
        ("", ["fc1/kernel", "fc1/bias", "head/kernel"]),
    ],
)
def test_a_penalty_is_the_sum_over_the_parameters_it_names(names, chosen):
    weights = np.concatenate([np.ravel(PARAMS[p.split("/")[0]][p.split("/")[1]]) for p in chosen])
    l1, l2 = (penalty(PARAMS, 0.5, names=names) for penalty in (losses.l1, losses.l2))
    np.testing.assert_allclose(l1, 0.5 * np.abs(weights).sum(), rtol=1e-6)
    np.testing.assert_allclose(l2, 0.5 * np.square(weights).sum(), rtol=1e-6)


@pytest.mark.parametrize("penalty", [losses.l1, losses.l2])
def test_a_penalty_leaves_biases_out_and_takes_a_traced_rate(penalty):
    kernels = {name: {"kernel": layer["kernel"]} for name, layer in PARAMS.items()}
    assert_close(jax.jit(penalty)(PARAMS, 0.5), penalty(kernels, 0.5, names=""), 1e-6)


@pytest.mark.parametrize("penalty", [losses.l1, losses.l2])
def test_a_penalty_that_names_nothing_lists_the_names_there_are(penalty):
    with pytest.raises(ValueError, match=r"'kernle'; there are \['fc1/bias', 'fc1/kernel', 'head"):
        penalty(PARAMS, 0.5, names="kernle")


@pytest.mark.parametrize(
    "loss",
    [
        lambda x: losses.softmax_cross_entropy(x, LABELS),
        lambda x: losses.softmax_cross_entropy(x, LABELS, label_smoothing=0.1),
        lambda x: losses.softmax_cross_entropy(x, ONE_HOT),
        lambda x: losses.binary_cross_entropy(x, ONE_HOT),
        lambda x: losses.squared_error(x, ONE_HOT),
        lambda x: losses.l1({"kernel": x}, 0.5),
        lambda x: losses.l2({"kernel": x}, 0.5),
    ],
    ids=["numbers", "smoothed", "one-hot", "binary", "squared", "l1", "l2"],
)
def test_gradients_agree_with_finite_differences_to_second_order(loss):
    with jax.enable_x64(True):
        check_grads(jax.jit(loss), (jnp.asarray(LOGITS, jnp.float64),), 2, eps=1e-5)
