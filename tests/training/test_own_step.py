"""A custom train step trains, saves, resumes and stops like the library's."""

import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from clouds import run
from helpers import assert_close, assert_same

from jaxnets.training import (
    Checkpoints,
    Interrupted,
    NonFiniteLoss,
    RunError,
    evaluate,
    predict,
)
from jaxnets.training.population import evaluate_population, fit_population

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0, 0.5])).astype(np.float32)
DATA = (X, Y)
RATE = 0.05


class Descent:
    """Least squares by hand, with a dict as train state; step number `bad` returns NaN."""

    def __init__(self, bad=None, spoils="objective"):
        self.bad, self.spoils = bad, spoils

    def init(self, key, x):
        weights = jax.random.normal(key, (x.shape[1],))
        return {"weights": weights, "steps": jnp.int32(0)}

    def __call__(self, train_state, batch, hparams):
        def objective(weights):
            errors = jnp.square(batch.x @ weights - batch.y) * batch.weights
            return errors.sum() / batch.weights.sum(), errors.sum()

        weights, steps = train_state["weights"], train_state["steps"]
        (value, errors), slope = jax.value_and_grad(objective, has_aux=True)(weights)
        rate = RATE if hparams is None else hparams["learning_rate"]
        factor = jnp.nan if self.bad is None else jnp.where(steps == self.bad, jnp.nan, 1)
        if self.bad is not None and self.spoils == "objective":
            value = value * factor
        elif self.bad is not None:
            slope = slope * factor
        after = {"weights": weights - rate * slope, "steps": steps + 1}
        return after, {"objective": value, "squares": errors, "rows": batch.weights.sum()}


class MeasuredDescent(Descent):
    """A descent that can also be evaluated."""

    def evaluate_batch(self, train_state, batch):
        errors = jnp.square(batch.x @ train_state["weights"] - batch.y)
        return {"squares": (errors * batch.weights).sum(), "rows": batch.weights.sum()}

    def values(self, sums):
        return {"loss": sums["squares"] / sums["rows"]}


def by_hand(order, weights, steps, rate=RATE):
    """The weights of each step, in float64, on batches of 12 rows in this order."""
    path = [np.asarray(weights, np.float64)]
    for step in range(steps):
        rows = order[step]
        slope = 2 * X[rows].T @ (X[rows] @ path[-1] - Y[rows]) / len(rows)
        path.append(path[-1] - rate * slope)
    return path


DESCENT, MEASURED = Descent(), MeasuredDescent()  # programs are cached per object
ALL = [np.arange(60)] * 20  # batches of all rows, whose order does not matter


def first(step):
    return step.init(jax.random.key(0), X[:1])["weights"]


def test_init_and_call_are_enough():
    reports = []
    fitted = run(DESCENT, DATA, epochs=20, batch_size=60, report=reports.append)
    expected = by_hand(ALL, first(DESCENT), 20)[-1]
    assert_close(fitted.train_state["weights"], expected, 1e-5)
    assert fitted.train_state["steps"] == 20
    assert [progress.train for progress in fitted.history] == [{}] * 20
    assert fitted.samples_per_second > 0 and reports


def test_its_values_method_turns_sums_into_metrics():
    fitted = run(MEASURED, DATA, epochs=5, batch_size=60, validation=DATA)
    path = by_hand(ALL, first(MEASURED), 5)
    losses = [np.square(X @ weights - Y).mean() for weights in path]
    assert_close([p.train["loss"] for p in fitted.history], losses[:-1], 1e-4)
    assert_close([p.validation["loss"] for p in fitted.history], losses[1:], 1e-4)
    evaluated = evaluate(MEASURED, fitted.train_state, DATA, block_size=7)
    assert evaluated["loss"] == pytest.approx(losses[-1], rel=1e-4)


def test_patience_monitors_its_loss():
    fitted = run(MEASURED, DATA, epochs=9, validation=(X, -Y), patience=2)
    assert fitted.best_epoch is not None and len(fitted.history) <= 9
    best = min(p.validation["loss"] for p in fitted.history)
    assert evaluate(MEASURED, fitted.train_state, (X, -Y))["loss"] == pytest.approx(best, rel=1e-6)


def test_padding_has_no_weight():
    fitted = run(MEASURED, DATA, epochs=2, batch_size=59, remainder="pad")
    state = fitted.history[0]
    assert state.train["loss"] > 0 and fitted.train_state["steps"] == 4


def test_it_may_be_a_function_of_hparams_or_take_them_itself():
    rates = {"learning_rate": 0.02}

    class Slow(Descent):
        def __call__(self, train_state, batch, hparams):
            return super().__call__(train_state, batch, rates)

    direct = run(DESCENT, DATA, hparams=rates)
    from_function = run(lambda hparams: Slow(), DATA, hparams={"unread": 1.0})
    assert_close(direct.train_state, from_function.train_state, 1e-6)


@pytest.mark.parametrize("strategy", ["vmap", "map"])
def test_each_member_of_a_population_is_the_model_trained_alone(strategy):
    keys, rates = jax.random.split(jax.random.key(3), 3), np.float32([0.05, 0.01, 0.1])
    options = {"epochs": 4, "batch_size": 12, "strategy": strategy, "validation": DATA}
    members = fit_population(
        MEASURED, DATA, keys=jax.random.clone(keys), hparams={"learning_rate": rates}, **options
    )
    evaluated = evaluate_population(MEASURED, members.train_states, DATA)
    for i in range(3):
        hparams = {"learning_rate": rates[i]}
        alone = run(MEASURED, DATA, key=jax.random.clone(keys)[i], hparams=hparams, epochs=4)
        got = jax.tree.map(lambda leaf, i=i: leaf[i], members.train_states)
        assert_close(got["weights"], alone.train_state["weights"], 1e-5)
        expected = evaluate(MEASURED, alone.train_state, DATA)["loss"]
        assert evaluated["loss"][i] == pytest.approx(expected, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("at", [5, 8])
def test_it_is_resumed_bit_for_bit(tmp_path, at):
    def report(progress):
        if progress.step == at:
            signal.raise_signal(signal.SIGTERM)

    uninterrupted = run(MEASURED, DATA, epochs=3)
    with pytest.raises(Interrupted), Checkpoints(tmp_path) as checkpoints:
        options = {"checkpoints": checkpoints, "report": report, "chunk_seconds": 1e-9}
        run(MEASURED, DATA, epochs=3, **options)
    assert Checkpoints(tmp_path).latest() == at
    resumed = run(MEASURED, DATA, epochs=3, checkpoints=Checkpoints(tmp_path), resume=True)
    assert_same(resumed.train_state, uninterrupted.train_state)
    assert [p.train for p in resumed.history] == [p.train for p in uninterrupted.history]


SPOILED = {spoils: Descent(6, spoils) for spoils in ("objective", "train state")}


@pytest.mark.parametrize("spoils", SPOILED)
def test_a_step_that_is_not_finite_stops_the_run_at_the_last_finite_state(spoils):
    with pytest.raises(NonFiniteLoss, match="stopped being finite at step 6") as error:
        run(SPOILED[spoils], DATA, epochs=3)
    assert error.value.train_state["steps"] == error.value.step == 6
    expected = run(DESCENT, DATA, steps=6).train_state
    assert_close(error.value.train_state, expected, 1e-6)


@pytest.mark.parametrize("spoils", SPOILED)
def test_a_step_that_is_not_finite_is_skipped_with_all_its_sums(spoils):
    """The state's step counter stays the same, so every later step is not finite, either."""
    skipped = run(SPOILED[spoils], DATA, epochs=3, on_nonfinite="skip")
    assert skipped.history[-1].nonfinite == 15 - 6
    assert_close(skipped.train_state, run(DESCENT, DATA, steps=6).train_state, 1e-6)


def test_missing_methods_are_named_when_they_are_needed():
    fitted = run(DESCENT, DATA, epochs=1)
    with pytest.raises(RunError, match=r"to be evaluated, a Descent needs evaluate_batch"):
        evaluate(DESCENT, fitted.train_state, DATA)
    with pytest.raises(RunError, match=r"to predict, a Descent needs predict_batch"):
        predict(DESCENT, fitted.train_state, X)
    with pytest.raises(RunError, match=r"to be evaluated, a Descent needs evaluate_batch"):
        run(DESCENT, DATA, validation=DATA)
    with pytest.raises(
        RunError,
        match=r"are for a TrainStep, but .* a MeasuredDescent, which defines its own metrics",
    ):
        evaluate(MEASURED, fitted.train_state, DATA, metrics={})


def test_a_start_of_another_structure_is_refused():
    with pytest.raises(RunError, match=r"that of train_step.init, but got a dict with no \['s"):
        run(DESCENT, DATA, start={"weights": jnp.zeros(3)})
