"""With JAX_DEBUG_NANS and JAX_DEBUG_INFS, finite runs give the same bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from clouds import HPARAMS, MODEL, TRAIN, VALIDATION, by_rate, plain, run
from helpers import assert_same, eval_state, eval_step

from jaxnets import dense, losses, metrics
from jaxnets.training import evaluate, find_learning_rate, predict_proba
from jaxnets.training.population import fit_population

FLAGS = {"nans": jax.debug_nans, "infs": jax.debug_infs}
flags = pytest.mark.parametrize("flag", FLAGS.values(), ids=FLAGS)
TRAIN_STATE = eval_state(*MODEL.init(jax.random.key(1), TRAIN[0]))
METRICS = {
    "accuracy": metrics.accuracy,
    "precision": metrics.precision(3),
    "reliability": metrics.reliability_diagram(),  # NaN in an empty bin
}


def fresh():
    """A train step without compiled programs."""
    return by_rate(MODEL, metrics={"accuracy": metrics.accuracy})


def both(flag, call):
    """The results of a call without the flag and with it."""
    jax.clear_caches()
    without = call()
    jax.clear_caches()
    with flag(True):
        return without, call()


@flags
@pytest.mark.parametrize("options", [{"patience": 2}, {"remainder": "pad", "on_nonfinite": "skip"}])
def test_a_run_is_the_same(flag, options):
    without, under = both(flag, lambda: run(fresh(), validation=VALIDATION, **options))
    assert_same(plain(under.train_state), plain(without.train_state))
    assert [p.validation for p in under.history] == [p.validation for p in without.history]


@flags
@pytest.mark.parametrize("strategy", ["vmap", "map"])
def test_a_population_is_the_same(flag, strategy):
    def trained():
        return fit_population(
            fresh(),
            TRAIN,
            keys=jax.random.split(jax.random.key(0), 2),
            epochs=2,
            batch_size=12,
            hparams={"learning_rate": jnp.array([0.1, 0.2])},
            validation=VALIDATION,
            strategy=strategy,
        )

    without, under = both(flag, trained)
    assert_same(plain(under.train_states), plain(without.train_states))
    assert (under.diverged == -1).all()


@flags
def test_evaluation_and_prediction_are_the_same(flag):
    without, under = both(
        flag, lambda: evaluate(eval_step(MODEL, METRICS), TRAIN_STATE, VALIDATION)
    )
    assert np.isnan(without["reliability"]).any()
    assert_same(under, without)
    assert_same(*both(flag, lambda: predict_proba(eval_step(MODEL), TRAIN_STATE, VALIDATION[0])))


@flags
def test_a_range_test_to_infinity_is_the_same(flag):
    def range_test():
        step = by_rate(dense(3), lambda o, y: losses.squared_error(o, jax.nn.one_hot(y, 3)))
        start = step(HPARAMS).init(jax.random.key(0), TRAIN[0][:1])
        return find_learning_rate(
            *(step, start, TRAIN), hparams=HPARAMS, batch_size=12, largest=1e38, steps=20
        )

    without, under = both(flag, range_test)
    assert not np.isfinite(without.losses).all()
    assert_same(tuple(under), tuple(without))
