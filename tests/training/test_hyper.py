"""Hyperparameters are inputs of the compiled program: a new value compiles nothing anew."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from clouds import TRAIN, run
from helpers import assert_close

from jaxnets import LayerError, dense, dropout, losses, serial
from jaxnets.training import make_train_step
from jaxnets.training.chunk import chunk_program


def network(rate):
    return serial(("fc1", dense(8)), jnp.tanh, ("drop", dropout(rate)), ("head", dense(3)))


def train_step(model):
    return make_train_step(
        model, lambda hparams: optax.sgd(hparams["learning_rate"]), losses.softmax_cross_entropy
    )


DROPPING = train_step(lambda hparams: network(hparams["dropout_rate"]))


def params(learning_rate, dropout_rate, train_step=DROPPING):
    hparams = {"learning_rate": learning_rate, "dropout_rate": dropout_rate}
    return run(train_step, hparams=hparams).train_state.params


def test_all_rates_share_one_program():
    rates = {"learning_rate": 0.1, "dropout_rate": 0.0}
    start = DROPPING.init(jax.random.key(0), TRAIN[0][:1], rates)
    program = chunk_program(start.params)
    programs = program._cache_size()
    runs = [params(0.1, 0.0), params(0.1, 0.5), params(np.float32(0.01), 0.5), params(0.0, 0.5)]
    assert program._cache_size() == programs + 1
    assert len({float(run["fc1"]["kernel"][0, 0]) for run in runs}) == 4


def test_a_traced_rate_does_what_the_same_constant_does():
    constant = train_step(network(0.5))
    assert_close(params(0.1, 0.5), params(0.1, 0.5, constant), 1e-6)


@pytest.mark.parametrize("rate", [1.0, -0.1, np.float32(1.5)])
def test_a_rate_out_of_range_is_refused_before_it_is_traced(rate):
    with pytest.raises(LayerError, match=r"dropout expects rate in \[0, 1\), but got"):
        params(0.1, rate)
