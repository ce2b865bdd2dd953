"""A logit of -inf masks its class without making anything NaN."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from jaxnets import losses

MASKED = [
    ([0, -np.inf, -np.inf], 0, 0.0, [0, 0, 0]),
    ([0, 0, -np.inf], 1, np.log(2), [0.5, -0.5, 0]),
    ([-np.inf, 2, 1], 1, np.log1p(np.exp(-1)), [0, -1 / (1 + np.e), 1 / (1 + np.e)]),
    ([3e38, 3e38, -3e38], 0, np.log(2), [-0.5, 0.5, 0]),
    ([-np.inf, 0, 0], 0, np.inf, [-1, 0.5, 0.5]),  # softmax - onehot, where the true class is
]


@pytest.mark.parametrize(("logits", "label", "expected", "slope"), MASKED)
@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_a_masked_class_adds_nothing_unless_it_is_the_true_one(
    logits, label, expected, slope, one_hot, transform
):
    labels = jnp.eye(3)[jnp.array([label])] if one_hot else jnp.array([label])

    def loss(logits):
        return losses.softmax_cross_entropy(logits, labels)[0]

    value, gradient = transform(jax.value_and_grad(loss))(jnp.array([logits], jnp.float32))
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient[0], slope, atol=1e-7)
    assert all(g == 0 for g, x in zip(gradient[0], logits, strict=True) if x == -np.inf) or (
        expected == np.inf
    )


def test_labels_smoothed_over_the_other_classes_have_a_finite_loss():
    logits = jnp.array([[1.0, 2.0, -jnp.inf]])
    smoothed = jnp.array([[0.95, 0.05, 0.0]])
    value, gradient = jax.value_and_grad(lambda x: losses.softmax_cross_entropy(x, smoothed)[0])(
        logits
    )
    p = scipy.special.softmax([1.0, 2.0])
    np.testing.assert_allclose(value, -(np.array([0.95, 0.05]) * np.log(p)).sum(), rtol=1e-6)
    np.testing.assert_allclose(gradient, [[p[0] - 0.95, p[1] - 0.05, 0]], rtol=1e-5)


def test_smoothing_over_every_class_puts_probability_on_a_masked_one():
    logits, labels = jnp.array([[1.0, 2.0, -jnp.inf]]), jnp.array([0])
    loss = partial(losses.softmax_cross_entropy, labels=labels, label_smoothing=0.3)
    value, gradient = jax.value_and_grad(lambda x: loss(x)[0])(logits)
    p = scipy.special.softmax([1.0, 2.0, -np.inf])
    assert value == np.inf
    np.testing.assert_allclose(gradient, [p - [0.8, 0.1, 0.1]], rtol=1e-5)


@pytest.mark.parametrize(
    ("logit", "label", "expected", "slope"),
    [
        (-np.inf, 0, 0, 0),
        (np.inf, 1, 0, 0),
        (-np.inf, 1, np.inf, -1),
        (np.inf, 0, np.inf, 1),
        (-3e38, 0, 0, 0),
        (3e38, 1, 0, 0),
    ],
)
def test_a_correct_infinite_binary_logit_has_loss_0(logit, label, expected, slope):
    def loss(x):
        return losses.binary_cross_entropy(x, jnp.array([[label, 1.0]]))[0]

    value, gradient = jax.value_and_grad(loss)(jnp.array([[logit, 0.0]], jnp.float32))
    np.testing.assert_allclose(value, expected + np.log(2), rtol=1e-6)
    np.testing.assert_allclose(gradient, [[slope, -0.5]], atol=1e-7)


@pytest.mark.parametrize(
    ("output", "label", "expected"),
    [(-np.inf, -1, 0), (np.inf, 1, 0), (-np.inf, 1, np.inf), (np.inf, -1, np.inf)],
)
def test_an_infinite_output_has_the_correct_hinge_loss(output, label, expected):
    loss = losses.hinge(jnp.array([[output, 0.5]]), jnp.array([[label, 1]]))
    assert loss.tolist() == [expected + 0.5]
