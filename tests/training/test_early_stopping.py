"""Early stopping goes back to the parameters of the epoch that validated best."""

import numpy as np
import optax
from clouds import plain, run
from helpers import assert_same
from jax.nn.initializers import zeros

from jaxnets import dense, losses
from jaxnets.training import make_update

# One weight descends from 0 to 10: 1, 1.9, 2.71, 3.44, 4.1, ... after each epoch of one step.
UPDATE = make_update(
    dense(1, use_bias=False, kernel_init=zeros),
    optax.sgd(0.05),
    losses.squared_error,
)


def target(value):
    return np.ones((12, 1), np.float32), np.full((12, 1), value, np.float32)


def watched(epochs, validation, **options):
    return run(UPDATE, target(10), epochs=epochs, validation=target(validation), **options)


def test_a_run_stops_when_patience_is_over_and_goes_back_to_its_best_epoch():
    fitted = watched(9, validation=3, patience=2)
    assert fitted.best_epoch == 3
    assert len(fitted.history) == 3 + 2
    assert_same(plain(fitted.train_state), plain(watched(3, validation=3).train_state))


def test_a_run_that_never_gets_worse_keeps_its_last_epoch():
    fitted = watched(4, validation=10, patience=1)
    assert fitted.best_epoch == 4
    assert_same(plain(fitted.train_state), plain(watched(4, validation=10).train_state))


def test_no_improvement_at_all_is_met_with_patience_too():
    fitted = watched(9, validation=-1, patience=3)
    assert (fitted.best_epoch, len(fitted.history)) == (1, 4)


def test_without_patience_the_last_epoch_counts():
    fitted = watched(6, validation=3)
    assert fitted.best_epoch is None
    assert len(fitted.history) == 6
    np.testing.assert_allclose(fitted.train_state.params["kernel"], [[10 * (1 - 0.9**6)]], 1e-6)
