"""Every streaming metric in `evaluate` and in the compiled chunk."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import sklearn.metrics
from helpers import eval_state, eval_step

from jaxnets import dense, losses, metrics, serial
from jaxnets.training import evaluate, fit, make_train_step, predict, predict_proba

ROWS, FEATURES = 21, 4


def split(classes):
    rng = np.random.default_rng(0)
    return rng.normal(size=(ROWS, FEATURES)).astype(np.float32), np.arange(ROWS) % classes


@pytest.mark.parametrize("block_size", [8, 21, 30])
def test_evaluate_gives_the_metrics_of_scikit_learn_for_the_predictions(block_size):
    x, y = split(3)
    model = serial(("head", dense(3)))
    train_step, train_state = eval_step(model), eval_state(*model.init(jax.random.key(0), x))
    named_metrics = {
        "precision": metrics.precision(3),
        "recall": metrics.recall(3, average=None),
        "f1": metrics.f1(3, average="weighted"),
        "top 2": metrics.top_k_accuracy(2),
        "bins": metrics.reliability_diagram(5),
    }
    actual = evaluate(train_step, train_state, (x, y), metrics=named_metrics, block_size=block_size)
    predicted = predict(train_step, train_state, x)
    probabilities = predict_proba(train_step, train_state, x)
    expected = {
        "precision": sklearn.metrics.precision_score(y, predicted, average="macro"),
        "recall": sklearn.metrics.recall_score(y, predicted, average=None),
        "f1": sklearn.metrics.f1_score(y, predicted, average="weighted"),
        "top 2": sklearn.metrics.top_k_accuracy_score(y, probabilities, k=2),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, rtol=0, atol=1e-6)
    counts = np.histogram(probabilities.max(1), bins=5, range=(0, 1))[0]
    np.testing.assert_array_equal(actual["bins"][2], counts)


def test_a_chunk_with_a_learning_rate_of_0_gives_the_metrics_of_evaluate():
    x, y = split(2)
    model = serial(("head", dense(2)))
    named = {
        "f1": metrics.f1(2, average="binary"),
        "auc": metrics.binned_roc_auc,
        "error": metrics.expected_calibration_error(4),
    }
    train_step = make_train_step(model, optax.sgd(0.0), losses.softmax_cross_entropy, metrics=named)
    run = fit(train_step, (x, y), key=jax.random.key(1), epochs=1, batch_size=8, remainder="pad")
    actual = evaluate(train_step, run.train_state, (x, y), block_size=10)
    seen = {name: run.history[0].train[name] for name in named}
    np.testing.assert_allclose(list(seen.values()), [actual[name] for name in named], rtol=1e-5)
    logits, _ = model.apply(run.train_state.params, {}, jnp.asarray(x))
    expected = sklearn.metrics.roc_auc_score(y, logits[:, 1] - logits[:, 0])
    np.testing.assert_allclose(actual["auc"], expected, rtol=0, atol=1e-2)
    np.testing.assert_allclose(
        metrics.roc_auc(predict_proba(train_step, run.train_state, x)[:, 1], y), expected, atol=1e-6
    )
