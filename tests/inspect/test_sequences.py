"""Recurrent layers under the tools: summary, FLOPs, gradients over time, NaN tracing, training."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_same, normal

from jaxnets import (
    Padded,
    bidirectional,
    dense,
    gru,
    last_step,
    losses,
    lstm,
    models,
    serial,
    simple_rnn,
)
from jaxnets.inspect import (
    first_nonfinite,
    flops,
    gradient_over_time,
    plot_gradient_over_time,
    summary,
)
from jaxnets.lowering import recurrent
from jaxnets.training import Checkpoints, fit, make_train_step
from jaxnets.training.population import fit_population

BATCH, TIME, FEATURES = 4, 6, 3
LENGTHS = np.array([6, 2, 0, 5], np.int32)
X = Padded(normal(BATCH, TIME, FEATURES), LENGTHS)
Y = np.array([0, 1, 0, 1])


@pytest.mark.parametrize("units", [4, recurrent.FEWEST_UNITS])
@pytest.mark.parametrize("make, gates", [(simple_rnn, 1), (lstm, 4), (gru, 3)])
def test_the_flops_of_a_recurrent_layer_are_those_of_its_matmuls(make, gates, units):
    layer, x = make(units), jax.ShapeDtypeStruct((BATCH, TIME, FEATURES), jnp.float32)
    params, state = jax.eval_shape(layer.init, jax.random.key(0), x)
    count = flops(lambda p, x: layer.apply(p, state, x)[0], params, x)
    assert count == 2 * BATCH * TIME * (FEATURES + units) * gates * units


def test_a_summary_lists_recurrent_layers_of_a_padded_batch():
    model = serial(("rnn", bidirectional(lstm(4))), last_step, ("head", dense(2)))
    rows = {row.path: row for row in summary(model, X).rows}
    assert rows["rnn/forward"].parameters == 4 * 4 * (3 + 4 + 1)
    assert rows["rnn"].shape == (BATCH, TIME, 8) and rows["head"].shape == (BATCH, 2)


@pytest.mark.parametrize("factor, grows", [(0.5, False), (2.0, True)])
def test_the_gradient_over_time_vanishes_and_explodes_by_a_factor_per_step(factor, grows):
    layer = simple_rnn(1, activation=lambda z: z)
    params = {"kernel": jnp.ones((1, 1)), "recurrent_kernel": jnp.full((1, 1), factor)}
    params["bias"] = jnp.zeros(1)
    x = jnp.ones((2, TIME, 1))
    norms = gradient_over_time(layer, params, {}, x, lambda y: y[:, -1, 0])
    expected = factor ** np.arange(TIME - 1, -1, -1.0)
    np.testing.assert_allclose(norms, np.stack([expected, expected]), rtol=1e-6)
    figure = plot_gradient_over_time({"simple_rnn": norms}, "gradient")
    assert figure.axes[0].get_yscale() == "log"
    assert (norms[0, 0] > norms[0, -1]) == grows


def test_the_gradient_over_time_is_0_in_the_padding():
    model = serial(("rnn", gru(4)), last_step)
    params, state = jax.jit(model.init)(jax.random.key(0), X)
    junk = X._replace(values=jnp.where(X.mask[..., None], X.values, jnp.nan))
    norms = gradient_over_time(model, params, state, junk)
    assert ((norms > 0) == X.mask).all()


def test_the_first_number_that_is_not_finite_is_traced_to_the_recurrent_layer():
    model = serial(("rnn", lstm(4)), last_step, ("head", dense(2)))
    params, state = jax.jit(model.init)(jax.random.key(0), X)
    params["rnn"]["bias"] = params["rnn"]["bias"].at[0].set(jnp.nan)
    culprit = first_nonfinite(lambda p: model.apply(p, state, X)[0], params)
    assert "rnn/bias" in str(culprit)


MODEL = models.lstm_classifier(2, units=(4,), both_directions=True, dropout_rate=0.2)


def test_a_run_on_padded_batches_is_resumed_bit_for_bit(tmp_path):
    step = make_train_step(MODEL, optax.adam(1e-2), losses.softmax_cross_entropy)
    options = {"key": jax.random.key(0), "batch_size": 2}
    whole = fit(step, (X, Y), steps=4, **options)
    with Checkpoints(tmp_path / "run") as checkpoints:
        fit(step, (X, Y), steps=2, checkpoints=checkpoints, **options)
    with Checkpoints(tmp_path / "run") as checkpoints:
        resumed = fit(step, (X, Y), steps=4, checkpoints=checkpoints, resume=True, **options)
    assert_same(resumed.train_state.params, whole.train_state.params)


def test_a_population_of_recurrent_networks_trains_on_padded_batches():
    def with_rate(hparams):
        model = models.lstm_classifier(2, units=(4,), recurrent_dropout=hparams["rate"])
        return make_train_step(model, optax.sgd(0.1), losses.softmax_cross_entropy)

    keys, rates = jax.random.split(jax.random.key(0), 2), {"rate": jnp.array([0.0, 0.5])}
    options = {"steps": 2, "batch_size": 2, "strategy": "vmap"}
    members = fit_population(with_rate, (X, Y), keys=keys, hparams=rates, **options)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(members.train_states.params))
