"""Properties of every public loss: shapes, dtypes, empty batches, masked classes."""

from inspect import getmembers, isfunction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from derivatives import assert_derivatives
from jaxtyping import config

from jaxnets import losses

RNG = np.random.default_rng(0)
N, C = 6, 4
SCORES = RNG.normal(size=(N, C))
PROBABILITIES = scipy.special.softmax(SCORES, 1)
NUMBERS = np.array([0, 1, 1, 0, 1, 1])
HOT = np.eye(C)[NUMBERS]
SIGNS = np.array([1, 1, 0, 1, 0, 1])[:, None] * np.ones(C)


def log_sigmoid(x):
    return -np.logaddexp(0, -x)


def square(outputs, labels):
    return (outputs - labels) ** 2


# name: the arguments, and the expected loss per example by NumPy in float64
TABLE = {
    "softmax_cross_entropy": (
        SCORES,
        HOT,
        lambda x, y: -(y * scipy.special.log_softmax(x, 1)).sum(1),
    ),
    "binary_cross_entropy": (
        SCORES,
        HOT,
        lambda x, y: -(y * log_sigmoid(x) + (1 - y) * log_sigmoid(-x)).sum(1),
    ),
    "negative_log_likelihood": (PROBABILITIES, HOT, lambda p, y: -(y * np.log(p)).sum(1)),
    "binary_negative_log_likelihood": (
        PROBABILITIES,
        HOT,
        lambda p, y: -(y * np.log(p) + (1 - y) * np.log(1 - p)).sum(1),
    ),
    "misclassification": (SCORES, HOT, lambda x, y: x.argmax(1) != y.argmax(1)),
    "hinge": (SCORES, np.ones((N, C)), lambda x, y: np.maximum(0, 1 - x * y).sum(1)),
    "squared_error": (SCORES, HOT, lambda x, y: square(x, y).sum(1)),
    "half_squared_error": (SCORES, HOT, lambda x, y: square(x, y).sum(1) / 2),
    "mean_squared_error": (SCORES, HOT, lambda x, y: square(x, y).mean(1)),
}
OVER_CLASSES = {"softmax_cross_entropy", "negative_log_likelihood", "misclassification"}
PENALTIES = {"l1": np.abs, "l2": np.square}
every_loss = pytest.mark.parametrize("name", TABLE)


def refused_by(call, *args):
    """The message of the error, without the checks of annotations."""
    config.update("jaxtyping_disable", True)
    try:
        with pytest.raises(ValueError) as error:
            call(*args)
    finally:
        config.update("jaxtyping_disable", False)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_tables_cover_every_public_loss():
    public = {
        name
        for name, function in getmembers(losses, isfunction)
        if function.__module__ == losses.__name__ and not name.startswith("_")
    }
    assert public == {*TABLE, *PENALTIES, "l1_l2"}, "add the new loss to TABLE, with its formula"


@every_loss
@pytest.mark.parametrize("labels_dtype", ["bool", "uint8", "int32", "int64", "float16", "float32"])
@pytest.mark.parametrize("outputs_dtype", ["float64", "float32", "float16", "bfloat16"])
def test_numpy_arrays_of_any_real_dtype_give_the_float64_result_in_float32(
    name, outputs_dtype, labels_dtype
):
    outputs, labels, reference = TABLE[name]
    outputs = outputs.astype(jnp.dtype(outputs_dtype))
    actual = getattr(losses, name)(outputs, labels.astype(labels_dtype))
    assert actual.dtype == jnp.float32
    expected = reference(outputs.astype(np.float64), labels)
    np.testing.assert_allclose(actual, expected, rtol=2e-6)


@every_loss
def test_jit_and_vmap_over_models_give_the_loss_of_each_model(name):
    outputs, labels, reference = TABLE[name]
    models = np.stack([outputs, outputs[::-1]]).astype(np.float32)
    actual = jax.jit(jax.vmap(getattr(losses, name), (0, None)))(models, jnp.asarray(labels))
    expected = [reference(model.astype(np.float64), labels) for model in models]
    np.testing.assert_allclose(actual, expected, rtol=2e-6)


@pytest.mark.parametrize("name", sorted(TABLE.keys() - {"misclassification"}))
def test_gradients_agree_with_finite_differences_to_second_order(name):
    outputs, labels, _ = TABLE[name]
    with jax.enable_x64(True):
        labels = jnp.asarray(labels)
        assert_derivatives(lambda x: getattr(losses, name)(x, labels), jnp.asarray(outputs))


@every_loss
@pytest.mark.parametrize("shape", [(0, C), (0, 1)])
def test_an_empty_batch_has_an_empty_loss(name, shape):
    loss = getattr(losses, name)(jnp.zeros(shape), jnp.zeros(shape))
    assert loss.shape == (0,)
    assert loss.dtype == jnp.float32


@pytest.mark.parametrize("name", [name for name in TABLE if name not in OVER_CLASSES])
@pytest.mark.parametrize("shape", [(0,), (0, 2, C)])
def test_an_empty_batch_of_any_rank_has_an_empty_loss(name, shape):
    assert getattr(losses, name)(jnp.zeros(shape), jnp.zeros(shape)).shape == (0,)


def test_an_empty_batch_of_class_numbers_has_an_empty_loss():
    for loss in (losses.softmax_cross_entropy, losses.negative_log_likelihood):
        assert loss(jnp.zeros((0, C)), jnp.zeros(0, int)).shape == (0,)
        assert loss(jnp.zeros((0, 2, C)), jnp.zeros((0, 2), int)).shape == (0, 2)


def test_logits_without_classes_are_refused():
    message = refused_by(losses.softmax_cross_entropy, jnp.zeros((3, 0)), jnp.zeros((3, 0)))
    assert "expects at least one class, but got logits (3, 0)" in message


@pytest.mark.parametrize("name", [name for name in TABLE if name not in OVER_CLASSES])
def test_a_thousand_16_bit_outputs_are_summed_in_float32(name):
    outputs = jnp.full((1, 1000), 0.3, jnp.bfloat16)
    expected = TABLE[name][2](np.asarray(outputs, np.float64), np.ones((1, 1000)))
    actual = getattr(losses, name)(outputs, np.ones((1, 1000), np.float32))
    np.testing.assert_allclose(actual, expected, rtol=1e-4)


@every_loss
def test_labels_of_rank_1_for_a_column_of_outputs_are_refused_with_the_cure(name):
    if name == "misclassification":
        assert losses.misclassification(jnp.ones((5, 1)), jnp.ones(5)).tolist() == [0] * 5
        return
    loss = getattr(losses, name)
    message = refused_by(loss, jnp.ones((5, 1)), jnp.ones(5))
    softmax = name in ("softmax_cross_entropy", "negative_log_likelihood")
    assert ("one-hot them" if softmax else "as in y[:, None]") in message
    assert name in message


@every_loss
def test_complex_labels_are_refused(name):
    message = refused_by(getattr(losses, name), jnp.ones((5, 3)), np.ones((5, 3), np.complex64))
    assert "but got complex64" in message


@pytest.mark.parametrize("classes", [300, 1000])
def test_narrow_class_numbers_do_not_wrap_among_many_classes(classes):
    logits = RNG.normal(size=(3, classes)).astype(np.float32)
    expected = -scipy.special.log_softmax(logits.astype(np.float64), 1)[range(3), [0, 43, 255]]
    actual = losses.softmax_cross_entropy(logits, np.array([0, 43, 255], np.uint8))
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_a_64_bit_class_number_does_not_wrap_around():
    labels = np.array([0, 2**32, 2**32 + 1])
    loss = losses.softmax_cross_entropy(np.zeros((3, 4), np.float32), labels)
    np.testing.assert_array_equal(np.isnan(loss), [False, True, True])


@pytest.mark.parametrize("name", ["binary_cross_entropy", "binary_negative_log_likelihood"])
@pytest.mark.parametrize("label", [-1, 2, 1.5, np.nan])
def test_an_invalid_binary_label_makes_only_its_row_nan(name, label):
    labels = np.array([0, label, 1], np.float32)
    loss = jax.jit(getattr(losses, name))(np.full(3, 0.5, np.float32), labels)
    np.testing.assert_array_equal(np.isnan(loss), [False, True, False])


@pytest.mark.parametrize("label", [-1.5, 2])
def test_a_binary_label_outside_minus_1_to_1_is_refused_outside_a_trace(label):
    labels = np.array([0, label, 1], np.float32)
    with pytest.raises(ValueError, match=rf"got {label} in row 1.*recode them"):
        losses.binary_cross_entropy(np.full(3, 0.5, np.float32), labels)


@pytest.mark.parametrize("labels", [[1.0, -1.0], [0.95, 0.05], [True, False], [1, 0]])
@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_a_binary_label_above_one_half_is_class_1(labels, shape):
    outputs = jnp.array([2.0, -2.0]).reshape(shape)
    labels = jnp.asarray(labels).reshape(shape)
    assert losses.misclassification(outputs, labels).tolist() == [0, 0]
    assert losses.misclassification(-outputs, labels).tolist() == [1, 1]


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penalty_of_16_bit_params_is_summed_in_float32(name):
    kernel = jnp.full(10_000, 0.3, jnp.bfloat16)
    expected = 0.5 * PENALTIES[name](np.asarray(kernel, np.float64)).sum()
    actual = getattr(losses, name)({"kernel": kernel}, 0.5)
    assert actual.dtype == jnp.float32
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
    rates = {"l1": (0.5, 0.0), "l2": (0.0, 0.5)}[name]
    np.testing.assert_allclose(losses.l1_l2({"kernel": kernel}, *rates), expected, rtol=1e-5)
