"""A loss per token: a row's loss is its mean over tokens, and its weight its token count."""

import jax
import numpy as np
import optax
import pytest
import scipy.special
from helpers import assert_close, assert_same, normal

from jaxnets import Padded, dense, each_step, losses, metrics, serial
from jaxnets.training import evaluate, fit, make_train_step

LENGTHS = np.array([5, 2, 0, 3], np.int32)
VALID = np.arange(5) < LENGTHS[:, None]
X = np.where(VALID[..., None], normal(4, 5, 2), np.nan)
LABELS = np.where(VALID, np.arange(20).reshape(4, 5) % 3, -7)
LOGITS = np.asarray(normal(4, 5, 3, seed=1))
CROSS_ENTROPY = losses.per_token(losses.softmax_cross_entropy)


def test_a_rows_loss_is_the_mean_over_its_tokens_whatever_the_padding_holds():
    outputs = Padded(np.where(VALID[..., None], LOGITS, np.nan), LENGTHS)
    actual = CROSS_ENTROPY(outputs, LABELS)
    for row, n in enumerate(LENGTHS):
        log_p = scipy.special.log_softmax(LOGITS[row, :n], 1)[np.arange(n), LABELS[row, :n]]
        assert actual[row] == pytest.approx(-log_p.mean() if n else 0.0, rel=1e-6)
    gradient = jax.jit(jax.grad(lambda v: CROSS_ENTROPY(Padded(v, LENGTHS), LABELS).sum()))(
        outputs.values
    )
    assert np.isfinite(gradient).all() and not gradient[~VALID].any()
    assert_same(CROSS_ENTROPY(LOGITS, Padded(LABELS, LENGTHS)), actual)


def test_targets_that_are_nan_in_the_padding_have_no_effect_on_a_gradient():
    loss = losses.per_token(losses.mean_squared_error)
    targets = np.where(VALID[..., None], 1.0, np.nan).astype(np.float32)
    of = jax.grad(lambda v: loss(Padded(v, LENGTHS), targets).sum())
    gradient = jax.jit(of)(LOGITS[..., :1])
    assert np.isfinite(gradient).all() and not gradient[~VALID].any()


def test_with_the_lengths_as_weights_every_token_counts_the_same():
    model = serial(("fc", each_step(dense(3))))
    correct = losses.per_token(lambda o, y: o.argmax(-1) == y)
    step = make_train_step(
        model, optax.sgd(0.5), CROSS_ENTROPY, metrics={"accuracy": metrics.mean(correct)}
    )
    flat = make_train_step(
        serial(("fc", dense(3))),
        optax.sgd(0.5),
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.accuracy},
    )
    rows = (Padded(X, LENGTHS), Padded(LABELS, LENGTHS), LENGTHS.astype(np.float32))
    tokens = (X[VALID], LABELS[VALID])
    options = {"key": jax.random.key(0), "epochs": 2}
    ours = fit(step, rows, batch_size=4, **options).train_state
    theirs = fit(flat, tokens, batch_size=len(tokens[1]), **options).train_state
    assert_close(ours.params, theirs.params, 1e-5)
    assert evaluate(step, ours, rows, block_size=3) == pytest.approx(
        evaluate(flat, theirs, tokens), rel=1e-5
    )


def test_lengths_that_differ_between_outputs_and_labels_give_nan():
    other = np.array([5, 1, 0, 3], np.int32)
    actual = CROSS_ENTROPY(Padded(LOGITS, LENGTHS), Padded(LABELS, other))
    assert np.isnan(actual).tolist() == [False, True, False, False]


def test_labels_that_are_not_one_per_token_are_refused():
    with pytest.raises(ValueError, match=r"one label per token, \(4, 5\), but got \(4,\)"):
        CROSS_ENTROPY(Padded(LOGITS, LENGTHS), LABELS[:, 0])
    with pytest.raises(ValueError, match="one number per example, 20, but got"):
        losses.per_token(lambda o, y: o.mean())(Padded(LOGITS, LENGTHS), LABELS)
    with pytest.raises(ValueError, match="expects a loss, but got 3"):
        losses.per_token(3)


def test_equal_losses_per_token_are_equal():
    assert losses.per_token(losses.softmax_cross_entropy) == CROSS_ENTROPY
