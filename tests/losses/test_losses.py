"""Single losses, against optax, NumPy and by hand; `test_every_loss` has the laws of all."""

from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jaxtyping import config

from jaxnets import losses

RNG = np.random.default_rng(0)
OUTPUTS = RNG.normal(size=(5, 3)).astype(np.float32)
TARGETS = RNG.normal(size=(5, 3)).astype(np.float32)
CLASSES = np.array([2, 0, 1, 1, 2])
SIGNS = np.where(TARGETS > 0, 1.0, -1.0).astype(np.float32)
PROBABILITIES = np.asarray(jax.nn.softmax(OUTPUTS))


@contextmanager
def unchecked():
    """Without the checks of annotations, which are on only in tests."""
    config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", False)


def call(name, outputs, labels):
    return getattr(losses, name)(jnp.asarray(outputs), jnp.asarray(labels))


@pytest.mark.parametrize("shape", [(5,), (5, 1), (5, 2, 3)])
@pytest.mark.parametrize(
    "name", ["squared_error", "half_squared_error", "mean_squared_error", "hinge"]
)
def test_outputs_of_any_rank_give_one_number_per_example(name, shape):
    rng = np.random.default_rng(1)
    outputs, labels = rng.normal(size=shape), np.sign(rng.normal(size=shape))
    rows = [
        call(name, row[None], label[None])[0] for row, label in zip(outputs, labels, strict=True)
    ]
    np.testing.assert_allclose(call(name, outputs, labels), rows, rtol=1e-6)


def test_losses_of_probabilities_equal_fused_losses_of_logits():
    labels = jnp.asarray(CLASSES)
    fused = losses.softmax_cross_entropy(jnp.asarray(OUTPUTS), labels)
    explicit = -OUTPUTS[range(5), CLASSES] + np.log(np.exp(OUTPUTS).sum(1))
    np.testing.assert_allclose(fused, explicit, rtol=1e-5)
    np.testing.assert_allclose(call("negative_log_likelihood", PROBABILITIES, CLASSES), fused, 1e-5)
    logits, ones = jnp.asarray(OUTPUTS), jnp.asarray((SIGNS > 0).astype(np.float32))
    np.testing.assert_allclose(
        losses.binary_negative_log_likelihood(jax.nn.sigmoid(logits), ones),
        losses.binary_cross_entropy(logits, ones),
        rtol=1e-5,
    )


def test_only_the_fused_loss_is_finite_if_a_probability_is_zero():
    logits = jnp.array([[200.0, 0.0]])
    assert losses.softmax_cross_entropy(logits, jnp.array([1])) == 200
    assert losses.negative_log_likelihood(jax.nn.softmax(logits), jnp.array([1])) == jnp.inf


def test_one_hot_labels_are_equivalent_to_class_numbers():
    expected = call("negative_log_likelihood", PROBABILITIES, CLASSES)
    for dtype in (np.float32, np.int32, np.uint8):
        one_hot = np.eye(3, dtype=dtype)[CLASSES]
        np.testing.assert_array_equal(
            call("negative_log_likelihood", PROBABILITIES, one_hot), expected
        )


def test_soft_labels_weight_every_log_probability():
    labels = np.asarray(jax.nn.softmax(TARGETS))
    expected = -(labels * np.log(PROBABILITIES)).sum(1)
    np.testing.assert_allclose(
        call("negative_log_likelihood", PROBABILITIES, labels), expected, rtol=1e-6
    )
    binary = -(labels * np.log(PROBABILITIES) + (1 - labels) * np.log(1 - PROBABILITIES)).sum(1)
    np.testing.assert_allclose(
        call("binary_negative_log_likelihood", PROBABILITIES, labels), binary, rtol=1e-6
    )


@pytest.mark.parametrize("label", [0, 1])
def test_a_class_of_probability_zero_adds_nothing_unless_it_is_the_true_one(label):
    probabilities, labels = jnp.array([[0.0, 1.0]]), jnp.array([label])
    loss, slope = jax.value_and_grad(lambda p: losses.negative_log_likelihood(p, labels)[0])(
        probabilities
    )
    assert loss == (0 if label else jnp.inf)
    np.testing.assert_array_equal(slope, [[0, -1]] if label else [[-jnp.inf, 0]])
    binary = jax.value_and_grad(lambda p: losses.binary_negative_log_likelihood(p, labels)[0])
    loss, slope = binary(jnp.array([1.0]))
    assert loss == (0 if label else jnp.inf)
    np.testing.assert_array_equal(slope, [-1 if label else jnp.inf])


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
def test_binary_labels_may_have_any_dtype(dtype):
    labels = np.array([0, 1, 1], dtype)
    actual = call("binary_negative_log_likelihood", np.float32([0.25, 0.25, 0.5]), labels)
    np.testing.assert_allclose(actual, -np.log([0.75, 0.25, 0.5]), rtol=1e-6)


@pytest.mark.parametrize("label", [-1, 3])
def test_an_invalid_class_number_gives_nan(label):
    labels = np.where(np.arange(5) == 2, label, CLASSES)
    loss = call("negative_log_likelihood", PROBABILITIES, labels)
    np.testing.assert_array_equal(np.isnan(loss), np.arange(5) == 2)


def test_a_hinge_label_that_is_not_a_sign_gives_nan():
    loss = call("hinge", np.float32([0.5, 0.5, 0.5]), np.array([1, 0, -1]))
    np.testing.assert_array_equal(loss, np.float32([0.5, np.nan, 1.5]))


def test_hinge_and_half_squared_error_of_a_single_output_are_optaxs():
    outputs, signs = jnp.asarray(OUTPUTS[:, 0]), jnp.asarray(SIGNS[:, 0])
    np.testing.assert_array_equal(losses.hinge(outputs, signs), optax.hinge_loss(outputs, signs))
    np.testing.assert_array_equal(
        losses.half_squared_error(outputs, signs), optax.l2_loss(outputs, signs)
    )


def test_misclassification_takes_single_logits_and_has_gradient_0():
    logits, labels = jnp.array([-1.0, 2.0, 3.0]), jnp.array([1, 1, 0])
    np.testing.assert_array_equal(losses.misclassification(logits, labels), [1, 0, 1])
    slope = jax.grad(lambda logits: losses.misclassification(logits, labels).sum())(logits)
    np.testing.assert_array_equal(slope, [0, 0, 0])


@pytest.mark.parametrize(
    "name",
    [
        "squared_error",
        "half_squared_error",
        "mean_squared_error",
        "hinge",
        "binary_negative_log_likelihood",
    ],
)
def test_targets_of_the_wrong_shape_are_refused_with_the_cure(name):
    with (
        unchecked(),
        pytest.raises(ValueError, match=rf"{name} expects .* \(5, 1\), but got \(5,\); add or"),
    ):
        call(name, np.zeros((5, 1), np.float32), np.zeros(5))


@pytest.mark.parametrize("name", ["negative_log_likelihood", "softmax_cross_entropy"])
@pytest.mark.parametrize(
    "labels", [np.zeros((4,), int), np.zeros(5), np.zeros((5, 3, 1), int)], ids=str
)
def test_labels_of_the_wrong_rank_or_dtype_are_refused_with_the_cure(name, labels):
    with (
        unchecked(),
        pytest.raises(ValueError, match=rf"{name} expects integer labels \(5,\) .* one-hot them"),
    ):
        call(name, PROBABILITIES, labels)


@pytest.mark.parametrize("name", ["negative_log_likelihood", "softmax_cross_entropy"])
def test_one_hot_labels_with_the_wrong_number_of_classes_are_refused(name):
    with (
        unchecked(),
        pytest.raises(ValueError, match=rf"{name} expects targets .* but got \(5, 2\)"),
    ):
        call(name, PROBABILITIES, np.eye(2)[CLASSES % 2])


def test_misclassification_refuses_labels_of_the_wrong_rank_with_the_cure():
    with pytest.raises(ValueError, match=r"one class number .* got labels \(5, 2\); drop or add"):
        call("misclassification", OUTPUTS, np.zeros((5, 2), int))
