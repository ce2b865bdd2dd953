"""With JAX_DEBUG_NANS and JAX_DEBUG_INFS all that is finite trains, to the same bits."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from clouds import HYPER, MODEL, TRAIN, UPDATE, VALIDATION, plain, run
from helpers import assert_same

from jaxnets import dense, losses, metrics
from jaxnets.training import evaluate, find_learning_rate, make_update, predict_proba
from jaxnets.training.population import fit_population

PARAMS, STATE = MODEL.init(jax.random.key(1), TRAIN[0])
METRICS = {
    "accuracy": metrics.accuracy,
    "precision": metrics.precision(3),
    "reliability": metrics.reliability_diagram(),  # NaN in an empty bin
}


def both(call):
    """What a call returns without the flags and with them."""
    without = call()
    with jax.debug_nans(True), jax.debug_infs(True):
        return without, call()


@pytest.mark.parametrize("options", [{"patience": 2}, {"remainder": "pad", "on_nonfinite": "skip"}])
def test_a_run_is_the_same(options):
    without, under = both(lambda: run(validation=VALIDATION, **options))
    assert_same(plain(under.train_state), plain(without.train_state))
    assert [p.validation for p in under.history] == [p.validation for p in without.history]


@pytest.mark.parametrize("strategy", ["vmap", "map"])
def test_a_population_is_the_same(strategy):
    def trained():
        return fit_population(
            UPDATE,
            TRAIN,
            keys=jax.random.split(jax.random.key(0), 2),
            epochs=2,
            batch_size=12,
            hypers={"learning_rate": jnp.array([0.1, 0.2])},
            validation=VALIDATION,
            strategy=strategy,
        )

    without, under = both(trained)
    assert_same(plain(under.train_states), plain(without.train_states))
    assert (under.diverged == -1).all()


def test_evaluation_and_prediction_are_the_same():
    without, under = both(lambda: evaluate(MODEL, PARAMS, STATE, VALIDATION, METRICS))
    assert np.isnan(without["reliability"]).any()
    assert_same(under, without)
    assert_same(*both(lambda: predict_proba(MODEL, PARAMS, STATE, VALIDATION[0])))


def test_a_range_test_to_infinity_is_the_same():
    line = make_update(
        dense(1), lambda hyper: optax.sgd(hyper["learning_rate"]), losses.squared_error
    )
    data = (TRAIN[0], TRAIN[0][:, :1])
    start = line.init(jax.random.key(0), data[0][:1], HYPER)

    def found():
        return find_learning_rate(line, start, data, HYPER, batch_size=12, largest=1e9, steps=20)

    without, under = both(found)
    assert not np.isfinite(without.losses).all()
    assert_same(tuple(under), tuple(without))
