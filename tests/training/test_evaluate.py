"""Evaluation and prediction in blocks give the results of all rows at once, in one program."""

import jax
import numpy as np
import pytest
import scipy.special
import sklearn.metrics
from clouds import HPARAMS, MODEL, clouds
from helpers import assert_close, eval_state, eval_step

from jaxnets import dense, losses, metrics, serial
from jaxnets.training import evaluate, predict, predict_proba

BLOCK = 8
ROWS = [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 2]
X, Y = clouds(max(ROWS))
METRICS = {
    "loss": metrics.mean(losses.softmax_cross_entropy),
    "accuracy": metrics.accuracy,
    "confusion": metrics.confusion_matrix(3),
}
PARAMS, STATE = MODEL.init(jax.random.key(0), X)
TRAIN_STATE = eval_state(PARAMS, STATE)
LOGITS = np.asarray(MODEL.apply(PARAMS, STATE, X)[0])


def counting():
    """A train step, and the list of the shapes that its model is traced for."""
    shapes = []

    def note(x):
        shapes.append(x.shape)
        return x

    def apply(params, state, x, **options):
        return MODEL.apply(params, state, note(x), **options)

    return eval_step(MODEL._replace(apply=apply)), shapes


def test_any_number_of_rows_is_evaluated_exactly_by_one_program():
    train_step, shapes = counting()
    for rows in ROWS:
        logits, y = LOGITS[:rows], Y[:rows]
        result = evaluate(train_step, TRAIN_STATE, (X[:rows], y), metrics=METRICS, block_size=BLOCK)
        loss = -scipy.special.log_softmax(logits, 1)[np.arange(rows), y].mean()
        predicted = logits.argmax(1)
        assert result["loss"] == pytest.approx(float(loss), rel=1e-6)
        assert result["accuracy"] == np.float32(sklearn.metrics.accuracy_score(y, predicted))
        matrix = sklearn.metrics.confusion_matrix(y, predicted, labels=range(3))
        np.testing.assert_array_equal(result["confusion"], matrix)
        assert [type(result[name]) for name in METRICS] == [float, float, np.ndarray]
    assert shapes == [(BLOCK, 2)]


@pytest.mark.parametrize("rows", [0, *ROWS])
def test_prediction_does_not_depend_on_the_number_of_rows(rows):
    predicted = predict(eval_step(MODEL), TRAIN_STATE, X[:rows], block_size=BLOCK)
    probabilities = predict_proba(eval_step(MODEL), TRAIN_STATE, X[:rows], block_size=BLOCK)
    assert predicted.dtype == np.int32
    np.testing.assert_array_equal(predicted, LOGITS[:rows].argmax(1))
    assert_close(probabilities, scipy.special.softmax(LOGITS[:rows], 1), 1e-6)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize("predict", [predict, predict_proba])
def test_any_number_of_rows_is_predicted_by_one_program(predict):
    train_step, shapes = counting()
    for rows in [0, *ROWS]:
        predict(train_step, TRAIN_STATE, X[:rows], block_size=BLOCK)
    assert shapes == [(BLOCK, 2)]


def test_a_single_logit_has_the_probability_of_class_1():
    model = serial(("head", dense(1)))
    params, state = model.init(jax.random.key(0), X)
    logits = np.asarray(X @ params["head"]["kernel"])[:, 0]
    train_step, train_state = eval_step(model), eval_state(params, state)
    result = predict_proba(train_step, train_state, X, block_size=BLOCK)
    np.testing.assert_allclose(result, 1 / (1 + np.exp(-logits.astype(float))), rtol=1e-5)
    result = predict(train_step, train_state, X, block_size=BLOCK)
    np.testing.assert_array_equal(result, logits > 0)


def test_a_train_step_may_be_a_function_of_hyperparameters():
    def evaluated(train_step, **options):
        return evaluate(train_step, TRAIN_STATE, (X, Y), block_size=BLOCK, **options)["accuracy"]

    fixed = eval_step(MODEL, METRICS)
    assert evaluated(lambda hparams: fixed, hparams=HPARAMS) == evaluated(fixed)


def test_evaluation_of_no_rows_is_refused():
    with pytest.raises(ValueError, match="at least one, but got 0 inputs and 0 labels"):
        evaluate(eval_step(MODEL, METRICS), TRAIN_STATE, (X[:0], Y[:0]))


def test_inputs_and_labels_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="26 inputs and 25 labels"):
        evaluate(eval_step(MODEL, METRICS), TRAIN_STATE, (X, Y[1:]))
