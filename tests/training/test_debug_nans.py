"""With JAX_DEBUG_NANS and JAX_DEBUG_INFS, finite runs give the same bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from clouds import HPARAMS, MODEL, TRAIN, TRAIN_STEP, VALIDATION, by_rate, plain, run
from helpers import assert_same, eval_state, eval_step

from jaxnets import dense, losses, metrics
from jaxnets.training import evaluate, find_learning_rate, predict_proba
from jaxnets.training.population import fit_population

TRAIN_STATE = eval_state(*MODEL.init(jax.random.key(1), TRAIN[0]))
METRICS = {
    "accuracy": metrics.accuracy,
    "precision": metrics.precision(3),
    "reliability": metrics.reliability_diagram(),  # NaN in an empty bin
}


def population(train_step, strategy):
    return fit_population(
        train_step,
        TRAIN,
        keys=jax.random.split(jax.random.key(0), 2),
        epochs=2,
        batch_size=12,
        hparams={"learning_rate": jnp.array([0.1, 0.2])},
        validation=VALIDATION,
        strategy=strategy,
    )


def range_test():
    """Its last losses are infinite."""
    step = by_rate(dense(3), lambda o, y: losses.squared_error(o, jax.nn.one_hot(y, 3)))
    start = step(HPARAMS).init(jax.random.key(0), TRAIN[0][:1])
    return find_learning_rate(
        *(step, start, TRAIN), hparams=HPARAMS, batch_size=12, largest=1e38, steps=20
    )


CALLS = {
    "a run with patience": lambda step: run(step, validation=VALIDATION, patience=2),
    "a run that skips": lambda step: run(step, remainder="pad", on_nonfinite="skip"),
    "a population by vmap": lambda step: population(step, "vmap"),
    "a population by map": lambda step: population(step, "map"),
    "an evaluation": lambda _: evaluate(eval_step(MODEL, METRICS), TRAIN_STATE, VALIDATION),
    "a prediction": lambda _: predict_proba(eval_step(MODEL), TRAIN_STATE, VALIDATION[0]),
    "a range test": lambda _: range_test(),
}


@pytest.fixture
def under(request):
    """The results of a call without the flags, and with both flags and a fresh train step."""
    call, fresh = CALLS[request.param], by_rate(MODEL, metrics={"accuracy": metrics.accuracy})
    without = call(TRAIN_STEP)
    with jax.debug_nans(True), jax.debug_infs(True):
        return without, call(fresh)


def of(*names):
    return pytest.mark.parametrize("under", names, indirect=True)


@of("a run with patience", "a run that skips")
def test_a_run_is_the_same(under):
    before, after = under
    assert_same(plain(after.train_state), plain(before.train_state))
    assert [p.validation for p in after.history] == [p.validation for p in before.history]


@of("a population by vmap", "a population by map")
def test_a_population_is_the_same(under):
    before, after = under
    assert_same(plain(after.train_states), plain(before.train_states))
    assert (after.diverged == -1).all()


@of("an evaluation")
def test_an_evaluation_with_nan_in_a_metric_is_the_same(under):
    assert np.isnan(under[0]["reliability"]).any()
    assert_same(*under)


@of("a prediction")
def test_a_prediction_is_the_same(under):
    assert_same(*under)


@of("a range test")
def test_a_range_test_to_infinity_is_the_same(under):
    before, after = map(tuple, under)
    assert not np.isfinite(under[0].losses).all()
    assert_same(after, before)
