"""Hyperparameters are inputs of the compiled program: new values do not recompile."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from clouds import by_rate, run
from helpers import assert_close
from refusals import chunks_compiled

from jaxnets import LayerError, dense, dropout, losses, serial
from jaxnets.training import RunError, make_train_step


def network(rate):
    return serial(("fc1", dense(8)), jnp.tanh, ("drop", dropout(rate)), ("head", dense(3)))


def dropping(hparams):
    model = network(hparams["dropout_rate"])
    return make_train_step(model, optax.sgd(hparams["learning_rate"]), losses.softmax_cross_entropy)


def params(learning_rate, dropout_rate, train_step=dropping):
    hparams = {"learning_rate": learning_rate, "dropout_rate": dropout_rate}
    return run(train_step, hparams=hparams).train_state.params


def test_all_rates_share_one_program():
    before = chunks_compiled()
    runs = [params(0.1, 0.0), params(0.1, 0.5), params(np.float32(0.01), 0.5), params(0.0, 0.5)]
    assert chunks_compiled() == before + 1
    assert len({float(run["fc1"]["kernel"][0, 0]) for run in runs}) == 4


def test_a_traced_rate_does_what_the_same_constant_does():
    constant = by_rate(network(0.5), optimizer=lambda hparams: optax.sgd(hparams["learning_rate"]))
    assert_close(params(0.1, 0.5), params(0.1, 0.5, constant), 1e-6)


@pytest.mark.parametrize("rate", [1.0, -0.1, np.float32(1.5)])
def test_a_rate_out_of_range_is_refused_before_it_is_traced(rate):
    with pytest.raises(LayerError, match=r"dropout expects rate in \[0, 1\), but got"):
        params(0.1, rate)


def test_hparams_of_a_train_step_that_reads_none_are_refused():
    fixed = make_train_step(network(0.5), optax.sgd(0.1), losses.softmax_cross_entropy)
    with pytest.raises(RunError, match=r"does not depend on hparams, but got \['learning_rate'\]"):
        run(fixed, hparams={"learning_rate": 0.2})
