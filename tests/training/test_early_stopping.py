"""Early stopping returns the parameters of the epoch with the smallest validation loss."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from clouds import plain, run
from helpers import assert_same
from jax.nn.initializers import zeros

from jaxnets import dense, losses, metrics
from jaxnets.training import Checkpoints, RunError, make_train_step
from jaxnets.training.population import fit_population

# One weight rises from 0 towards 10: 1, 1.9, 2.71, 3.44, 4.1, ... after each epoch of one step.
TRAIN_STEP = make_train_step(
    dense(1, use_bias=False, kernel_init=zeros),
    optax.sgd(0.05),
    losses.squared_error,
)


def target(value):
    return np.ones((12, 1), np.float32), np.full((12, 1), value, np.float32)


def watched(epochs, validation, **options):
    return run(TRAIN_STEP, target(10), epochs=epochs, validation=target(validation), **options)


def test_a_run_stops_when_patience_is_over_and_goes_back_to_its_best_epoch():
    fitted = watched(9, validation=3, patience=2)
    assert fitted.best_epoch == 3
    assert len(fitted.history) == 3 + 2
    assert_same(plain(fitted.train_state), plain(watched(3, validation=3).train_state))


def test_a_run_that_never_gets_worse_keeps_its_last_epoch():
    fitted = watched(4, validation=10, patience=1)
    assert fitted.best_epoch == 4
    assert_same(plain(fitted.train_state), plain(watched(4, validation=10).train_state))


def test_patience_applies_without_any_improvement():
    fitted = watched(9, validation=-1, patience=3)
    assert (fitted.best_epoch, len(fitted.history)) == (1, 4)


def test_without_patience_the_last_epoch_counts():
    fitted = watched(6, validation=3)
    assert fitted.best_epoch is None
    assert len(fitted.history) == 6
    np.testing.assert_allclose(fitted.train_state.params["kernel"], [[10 * (1 - 0.9**6)]], 1e-6)


def replaced(hparams):
    """A train step that reports a loss of `value` while the weight is in one of the `ranges`."""

    def reported(outputs, targets):
        loss, weight = losses.squared_error(outputs, targets), outputs
        low, high = hparams["ranges"].T
        inside = (weight > low[None]) & (weight < high[None])
        return jnp.where(inside.any(1), hparams["value"], loss)

    return TRAIN_STEP.with_metrics({"loss": metrics.mean(reported)})


def while_in(*ranges, value=np.nan):
    """The hyperparameters of `replaced` for one or two ranges of the weight."""
    return {"ranges": np.float32([ranges[0], ranges[-1]]), "value": np.float32(value)}


def reporting(hparams, epochs, **options):
    """A run that is validated with a replaced loss."""
    options = {"validation": target(3), "hparams": hparams} | options
    return run(replaced, target(10), epochs=epochs, **options)


FIRST = (-1, 1.5)  # after 1 step the weight is 1, then 1.9, 2.71, 3.44, 4.1
LATER = (2, 3)
ALWAYS = (-1, 99)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("bad", "nearest", "best", "epochs"), [(FIRST, 3, 3, 5), (LATER, 1.9, 2, 4)]
)
def test_a_loss_that_is_not_finite_is_never_the_best(bad, nearest, best, epochs, value):
    fitted = reporting(while_in(bad, value=value), 9, validation=target(nearest), patience=2)
    assert (fitted.best_epoch, len(fitted.history)) == (best, epochs)
    np.testing.assert_allclose(
        fitted.train_state.params["kernel"], [[10 * (1 - 0.9**best)]], rtol=1e-5
    )


def test_a_loss_that_is_never_finite_ends_with_patience_and_the_last_parameters():
    fitted = reporting(while_in(ALWAYS), 9, patience=2)
    assert (fitted.best_epoch, len(fitted.history)) == (None, 2)
    np.testing.assert_allclose(fitted.train_state.params["kernel"], [[1.9]], rtol=1e-5)
    start = run(TRAIN_STEP, target(10), epochs=5).train_state
    later = reporting(while_in(ALWAYS), 9, patience=2, start=start)
    assert len(later.history) == 2  # not 1: the five epochs before `start` do not count


def test_of_equal_losses_the_first_is_the_best():
    fitted = reporting(while_in(ALWAYS, value=7), 9, patience=2)
    assert (fitted.best_epoch, len(fitted.history)) == (1, 3)


def test_a_run_that_ends_before_a_finite_loss_keeps_its_last_parameters():
    fitted = reporting(while_in(ALWAYS), 2, patience=3)
    np.testing.assert_allclose(fitted.train_state.params["kernel"], [[1.9]], rtol=1e-5)


def test_a_validation_loss_that_is_not_finite_is_reported_in_its_epoch():
    fitted = reporting(while_in(FIRST), 3)
    (warning,) = fitted.history[0].warnings
    assert warning == "the validation loss is nan, which never counts as the best"
    assert fitted.history[1].warnings == fitted.history[2].warnings == ()


def test_the_data_row_that_is_the_cause_is_named():
    x, y = target(3)
    y[7] = np.nan
    fitted = run(TRAIN_STEP, target(10), epochs=1, validation=(x, y))
    assert (
        fitted.history[0]
        .warnings[0]
        .endswith("row 7 of the validation labels holds nan (rows that are not finite: 1 of 12)")
    )


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("cut", [1, 2, 4])
def test_a_run_resumes_bit_for_bit_after_a_loss_that_is_not_finite(tmp_path, cut, value):
    def outcome(fitted):
        timeless = {"seconds": 0, "samples_per_second": 0, "steps": 0, "epochs": 0}
        history = [p._replace(**timeless) for p in fitted.history]
        return repr(history), fitted.best_epoch

    hparams = while_in(FIRST, (3, 4), value=value)
    uninterrupted = reporting(hparams, 9, patience=4)
    reporting(hparams, cut, patience=4, checkpoints=Checkpoints(tmp_path))
    options = {"checkpoints": Checkpoints(tmp_path), "resume": True}
    resumed = reporting(hparams, 9, patience=4, **options)
    assert outcome(resumed) == outcome(uninterrupted)
    assert_same(plain(resumed.train_state), plain(uninterrupted.train_state))


def test_patience_on_a_loss_of_many_numbers_is_refused():
    two = metrics.Metric(lambda o, y, w: (o.T @ w) * jnp.ones(2), lambda s: s)
    train_step = TRAIN_STEP.with_metrics({"loss": two})
    with pytest.raises(RunError, match=r"one number, but got an array of shape \(2,\); give"):
        run(train_step, target(10), validation=target(3), patience=1)


def test_a_member_whose_validation_loss_is_not_finite_is_reported():
    fitted = fit_population(
        *(replaced, target(10)),
        keys=jax.random.split(jax.random.key(0), 2),
        hparams=jax.tree.map(lambda leaf: np.stack([leaf, leaf]), while_in(FIRST)),
        epochs=2,
        batch_size=12,
        validation=target(3),
        strategy="map",
    )
    assert "the validation loss is [nan nan]" in fitted.history[0].warnings[0]
    assert fitted.history[1].warnings == ()
