"""Features of optax in a run: schedules, clipping, accumulation, decay and averages."""

import numpy as np
import optax
import pytest
from clouds import TRAIN, by_rate, run
from helpers import assert_close
from jax.nn.initializers import ones

from jaxnets import dense, losses
from jaxnets.training import make_train_step, params_ema

STEPS = 10  # two epochs of five
DATA = (np.ones((60, 1), np.float32), np.ones(60, np.float32))


def weight(tx, slope=1.0):
    """A weight after ten steps from 1 with a constant gradient, and the result of the run."""

    def optimizer(hparams):
        return tx(hparams) if callable(tx) else tx

    model = dense(1, use_bias=False, kernel_init=ones)
    fitted = run(by_rate(model, lambda outputs, y: slope * outputs[:, 0] * y, optimizer), DATA)
    return fitted.train_state.params["kernel"].item(), fitted


def test_each_step_uses_the_scheduled_learning_rate():
    moved = weight(optax.sgd(lambda step: 2.0**-step))[0] - 1
    assert moved == pytest.approx(-sum(2.0**-step for step in range(STEPS)), abs=1e-6)


def test_a_schedule_of_unit_peak_is_multiplied_by_the_traced_rate():
    def tx(hparams):
        return optax.sgd(lambda step: hparams["learning_rate"] * 2.0**-step)

    halves = sum(2.0**-step for step in range(STEPS))
    assert weight(tx)[0] - 1 == pytest.approx(-0.1 * halves, rel=1e-6)


def test_a_clipped_gradient_moves_no_further_than_the_clip():
    tx = optax.chain(optax.clip_by_global_norm(0.25), optax.sgd(1.0))
    assert weight(tx, slope=100.0)[0] == pytest.approx(1 - STEPS * 0.25, abs=1e-6)
    assert weight(tx, slope=0.125)[0] == pytest.approx(1 - STEPS * 0.125, abs=1e-6)


def test_decoupled_decay_shrinks_a_weight_that_has_no_gradient():
    decayed, _ = weight(optax.adamw(0.5, weight_decay=0.1), slope=0.0)
    assert decayed == pytest.approx((1 - 0.5 * 0.1) ** STEPS, rel=1e-6)


def test_params_ema_averages_the_params_from_the_start():
    _, fitted = weight(optax.chain(optax.sgd(0.1), params_ema(0.8)))
    expected = 1.0
    for step in range(1, STEPS + 1):
        expected = 0.8 * expected + 0.2 * (1 - 0.1 * step)
    average = optax.tree.get(fitted.train_state.opt_state, "average")
    np.testing.assert_allclose(average["kernel"], [[expected]], rtol=1e-6)


def test_params_ema_passes_updates_on_and_needs_the_params():
    tx, params, updates = params_ema(0.9), {"w": 1.0}, {"w": 0.5}
    assert tx.update(updates, tx.init(params), params)[0] == updates
    with pytest.raises(ValueError, match=r"call optimizer.update\(gradient, opt_state, params\)"):
        tx.update(updates, tx.init(params))


def test_accumulated_small_batches_are_one_large_batch():
    def descend(tx, batch_size):
        train_step = make_train_step(dense(3), tx, losses.softmax_cross_entropy)
        return run(train_step, TRAIN, epochs=3, batch_size=batch_size).train_state.params

    four = optax.MultiSteps(optax.sgd(0.1), every_k_schedule=4).gradient_transformation()
    assert_close(descend(four, 16), descend(optax.sgd(0.1), 64), 1e-6)
