"""Patience and `on_nonfinite` apply to each member as `fit` applies them to it alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from clouds import plain, run
from helpers import assert_close, assert_same
from jax.nn.initializers import zeros

from jaxnets import dense, losses, metrics
from jaxnets.training import Checkpoints, make_train_step
from jaxnets.training.population import fit_population

WEIGHT = dense(1, use_bias=False, kernel_init=zeros)
RATES = np.float32([0.05, 0.1, 0.01, 0.02])
N = len(RATES)


def target(value, rows=12):
    return np.ones((rows, 1), np.float32), np.full((rows, 1), value, np.float32)


def descending(hparams):
    """One weight that converges from 0 to 10, one step per epoch."""
    return make_train_step(WEIGHT, optax.sgd(hparams["learning_rate"]), losses.squared_error)


def population(train_step=descending, data=None, rates=RATES, **options):
    keys = jax.random.split(jax.random.key(0), len(rates))
    options = {"batch_size": 12, "strategy": "map"} | options
    data = target(10) if data is None else data
    return fit_population(
        *(train_step, data), keys=keys, hparams={"learning_rate": rates}, **options
    )


def alone(i, train_step=descending, data=None, rates=RATES, **options):
    key = jax.random.split(jax.random.key(0), len(rates))[i]
    data = target(10) if data is None else data
    return run(train_step, data, key=key, hparams={"learning_rate": rates[i]}, **options)


def member(tree, i):
    return jax.tree.map(lambda leaf: leaf[i], tree)


@pytest.mark.parametrize("strategy", ["vmap", "map"])
def test_a_member_with_patience_is_the_model_trained_alone(strategy):
    options = {"epochs": 30, "validation": target(3), "patience": 2}
    fitted = population(strategy=strategy, **options)
    for i in range(N):
        expected = alone(i, **options)
        assert fitted.best_epoch[i] == expected.best_epoch
        got = plain(member(fitted.train_states, i))
        assert_close(got, plain(expected.train_state), 1e-6)
    assert len(set(fitted.best_epoch.tolist())) == N  # or the test would prove little


def test_the_run_ends_when_no_member_has_patience_left():
    options = {"epochs": 100, "validation": target(3), "patience": 2}
    fitted = population(**options)
    longest = max(len(alone(i, **options).history) for i in range(N))
    assert len(fitted.history) == longest < 100
    assert population(epochs=5).best_epoch is None


def never_finite(hparams):
    """The validation loss is NaN while the weight is below 0.5, and always for one rate."""

    def reported(outputs, targets):
        loss = losses.squared_error(outputs, targets)
        lost = (hparams["learning_rate"] == RATES[0]) | (outputs[:, 0] < 0.5)
        return jnp.where(lost, jnp.nan, loss)

    return descending(hparams).with_metrics({"loss": metrics.mean(reported)})


def test_a_member_whose_loss_is_never_finite_ends_like_the_model_trained_alone():
    """The others continue; it has no best epoch, and the train state of its last evaluation."""
    options = {"epochs": 30, "validation": target(3), "patience": 3}
    fitted = population(never_finite, **options)
    expected = alone(0, never_finite, **options)
    assert (fitted.best_epoch[0], expected.best_epoch) == (0, None)
    assert len(expected.history) == 3 < len(fitted.history)
    got = plain(member(fitted.train_states, 0))
    assert_close(got, plain(expected.train_state), 1e-6)


@pytest.mark.parametrize("cut", [2, 4, 9])
def test_each_members_patience_is_restored_when_a_population_resumes(tmp_path, cut):
    options = {"validation": target(3), "patience": 2}
    whole = population(epochs=30, **options)
    population(epochs=cut, checkpoints=Checkpoints(tmp_path), **options)
    rest = population(epochs=30, checkpoints=Checkpoints(tmp_path), resume=True, **options)
    assert_same(plain(rest.train_states), plain(whole.train_states))
    assert rest.best_epoch.tolist() == whole.best_epoch.tolist()
    assert len(rest.history) == len(whole.history)


def test_a_member_that_diverges_keeps_its_best_and_needs_no_patience():
    rates = np.float32([0.05, 3.0])  # the second one diverges
    options = {"epochs": 400, "validation": target(3), "patience": 200}
    fitted = population(rates=rates, **options)
    assert fitted.diverged[0] == -1 < fitted.diverged[1]
    assert fitted.best_epoch[1] == 1
    assert np.isfinite(fitted.train_states.params["kernel"]).all()


X, Y = target(10, 60)
ONE_NAN = (X, np.where(np.arange(60)[:, None] == 7, np.float32(np.nan), Y))  # one batch of five


@pytest.mark.parametrize("strategy", ["vmap", "map"])
def test_a_step_is_skipped_by_the_members_that_it_makes_non_finite(strategy):
    options = {"epochs": 3, "on_nonfinite": "skip"}
    fitted = population(data=ONE_NAN, strategy=strategy, **options)
    for i in range(N):
        expected = alone(i, data=ONE_NAN, **options)
        got = plain(member(fitted.train_states, i))
        assert_close(got, plain(expected.train_state), 1e-6)
        assert fitted.history[-1].train["loss"][i] == pytest.approx(
            expected.history[-1].train["loss"], rel=1e-5
        )
    assert [p.nonfinite for p in fitted.history] == [N, 2 * N, 3 * N]
    assert (fitted.diverged == -1).all()
    kernel = np.asarray(fitted.train_states.params["kernel"]).ravel()
    np.testing.assert_allclose(kernel, 10 * (1 - (1 - 2 * RATES) ** 12), rtol=1e-5)


def test_ignoring_a_non_finite_member_does_not_affect_the_others():
    rates = np.float32([0.05, 1e30, 0.01])
    options = {"epochs": 3, "on_nonfinite": "ignore"}
    fitted = population(rates=rates, **options)
    assert (fitted.diverged == -1).all()
    kernel = np.asarray(fitted.train_states.params["kernel"]).ravel()
    assert np.isfinite(kernel).tolist() == [True, False, True]
    for i in (0, 2):
        expected = alone(i, rates=rates, **options)
        assert_close(member(fitted.train_states.params, i), expected.train_state.params, 1e-6)
    assert fitted.history[-1].nonfinite == alone(1, rates=rates, **options).history[-1].nonfinite
    assert fitted.history[-1].nonfinite > 0
