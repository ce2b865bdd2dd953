"""Example weights apply to the train step, to the metrics and to evaluation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from clouds import HPARAMS, MODEL, TRAIN, TRAIN_STEP, plain, run
from helpers import assert_close, assert_same

from jaxnets import dense, losses, metrics
from jaxnets.training import Batch, evaluate, make_train_step
from jaxnets.training.population import evaluate_population, fit_population

X, Y = TRAIN
ROWS = len(X)
WEIGHTS = np.random.default_rng(0).uniform(0.1, 3, ROWS).astype(np.float32)
LINEAR = make_train_step(
    dense(3),
    optax.adam(0.1),
    losses.softmax_cross_entropy,
    metrics={"accuracy": metrics.accuracy},
)


def cross_entropies(kernel, bias, x, y):
    """The loss per example, and its gradient with respect to the logits, in NumPy."""
    logits = x.astype(np.float64) @ kernel + bias
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    picked = np.eye(3)[y]
    return -np.log((p * picked).sum(1)), p - picked


def test_a_step_minimizes_the_weighted_mean_loss():
    before = LINEAR.init(jax.random.key(0), X[:1])
    batch = Batch(*map(jnp.asarray, (X, Y, WEIGHTS)))
    after, sums = jax.jit(LINEAR)(before, batch)
    kernel, bias = (np.asarray(before.params[name], np.float64) for name in ("kernel", "bias"))
    each, slope = cross_entropies(kernel, bias, X, Y)
    total = WEIGHTS.sum(dtype=np.float64)
    share = WEIGHTS[:, None] / total
    gradient = {"kernel": X.T @ (slope * share), "bias": (slope * share).sum(0)}
    gradient = jax.tree.map(lambda g: jnp.asarray(g, jnp.float32), gradient)
    updates, _ = optax.adam(0.1).update(gradient, before.opt_state, before.params)
    assert_close(after.params, optax.apply_updates(before.params, updates), 1e-5)
    assert_close(sums["objective"], WEIGHTS @ each / total)
    assert_close(sums["loss"], (WEIGHTS @ each, total))


@pytest.mark.parametrize("remainder", ["drop", "pad"])
def test_weights_of_one_change_nothing(remainder):
    weighted, without = (
        run(data=data, remainder=remainder) for data in ((X, Y, np.ones(ROWS)), TRAIN)
    )
    got, want = weighted.train_state.params, without.train_state.params
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), got, want)
    for got, want in zip(weighted.history, without.history, strict=True):
        assert got.train == pytest.approx(want.train, rel=1e-6)


def test_an_integer_weight_is_equivalent_to_that_many_copies():
    """In one batch of all examples, with a linear layer without randomness."""
    counts = np.arange(ROWS) % 3 + 1
    copies = np.repeat(np.arange(ROWS), counts)
    options = {"epochs": 5, "seed": 0}
    weighted = run(LINEAR, (X, Y, counts), batch_size=ROWS, **options)
    repeated = run(LINEAR, (X[copies], Y[copies]), batch_size=len(copies), **options)
    assert_close(weighted.train_state.params, repeated.train_state.params, 1e-5)
    for got, want in zip(weighted.history, repeated.history, strict=True):
        assert got.train == pytest.approx(want.train, rel=1e-5)


@pytest.mark.parametrize("on_nonfinite", ["stop", "skip", "ignore"])
def test_a_batch_of_zero_weight_changes_nothing_but_the_step(on_nonfinite):
    start = TRAIN_STEP(HPARAMS).init(jax.random.key(0), X[:1])
    before = jax.tree.map(np.asarray, plain(start))
    options = {"start": start, "epochs": 1, "on_nonfinite": on_nonfinite}
    ended = run(data=(X, Y, np.zeros(ROWS)), **options)
    after = jax.tree.map(np.asarray, plain(ended.train_state))
    assert_same(after, before._replace(step=np.asarray(5, np.int32)))
    assert np.isnan(ended.history[0].train["loss"])
    assert ended.history[0].nonfinite == 0


def test_examples_of_zero_weight_have_no_effect_whatever_their_values():
    """Their inputs are extreme; the model has no state that could depend on them."""
    extreme = np.where(np.arange(ROWS)[:, None] % 2 == 1, np.float32(1e30), X)
    weights = (np.arange(ROWS) % 2 == 0).astype(np.float32)
    ended = run(LINEAR, (extreme, Y, weights), batch_size=ROWS, epochs=3)
    alone = run(LINEAR, (X[::2], Y[::2]), batch_size=ROWS // 2, epochs=3)
    assert_close(ended.train_state.params, alone.train_state.params, 1e-5)
    assert ended.history[-1].train == pytest.approx(alone.history[-1].train, rel=1e-5)


def test_batches_of_zero_weight_are_skipped():
    """Each batch is one row."""
    weights = (np.arange(ROWS) % 4 == 0).astype(np.float32)
    ended = run(LINEAR, (X, Y, weights), batch_size=1, epochs=1)
    assert ended.train_state.step == ROWS
    assert ended.train_state.opt_state[0].count == weights.sum()
    assert 0 < ended.history[0].train["loss"] < 10


def test_weighted_evaluation_ignores_examples_of_zero_weight():
    state = run(epochs=1).train_state
    some = np.arange(ROWS) % 3 > 0
    options = {"hparams": HPARAMS, "block_size": 10}
    weighted = evaluate(TRAIN_STEP, state, (X, Y, some.astype(np.int8)), **options)
    assert weighted == pytest.approx(evaluate(TRAIN_STEP, state, (X[some], Y[some]), **options))
    logits = MODEL.apply(state.params, state.model_state, X)[0]
    by_numpy = np.average(np.asarray(logits).argmax(1) == Y, weights=WEIGHTS)
    evaluated = evaluate(TRAIN_STEP, state, (X, Y, WEIGHTS), **options)
    assert evaluated["accuracy"] == pytest.approx(by_numpy, rel=1e-5)


def test_validation_is_weighted():
    weights = (np.arange(ROWS) % 3 > 0).astype(np.float32)
    ended = run(validation=(X, Y, weights))
    evaluated = evaluate(TRAIN_STEP, ended.train_state, (X, Y, weights), hparams=HPARAMS)
    assert ended.history[-1].validation == evaluated


def test_weights_apply_to_each_member_of_a_population():
    keys, rates = jax.random.split(jax.random.key(0), 2), jnp.array([0.1, 0.05])
    hparams = {"learning_rate": rates}
    data = (X, Y, np.where(np.arange(ROWS) % 5 == 0, 0, WEIGHTS))
    members = fit_population(
        *(TRAIN_STEP, data),
        keys=jax.random.clone(keys),
        hparams=hparams,
        epochs=2,
        batch_size=12,
        strategy="vmap",
    )
    scores = evaluate_population(TRAIN_STEP, members.train_states, data, hparams=hparams)
    for i in range(2):
        one = {"learning_rate": rates[i]}
        alone = run(data=data, key=jax.random.clone(keys)[i], hparams=one)
        got = jax.tree.map(lambda leaf, i=i: leaf[i], members.train_states.params["head"])
        assert_close(got, alone.train_state.params["head"], 1e-4)
        expected = evaluate(TRAIN_STEP, alone.train_state, data, hparams=one)
        assert scores["loss"][i] == pytest.approx(expected["loss"], rel=1e-4)
