"""Recurrent layers: initial weights, carries, truncated backpropagation, dropout, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, assert_same, normal

from jaxnets import (
    LayerError,
    bidirectional,
    dense,
    gru,
    last_step,
    lstm,
    network,
    recurrent,
    serial,
    simple_rnn,
)

X = normal(2, 6, 3)


@network(mix=dense(4))
def cell(carry_and_x, *, mix):
    carry = jnp.tanh(mix(jnp.concatenate(carry_and_x, axis=-1)))
    return carry, carry


ZEROS = jnp.zeros((2, 4))
LAYERS = {
    "simple_rnn": (simple_rnn(4), ZEROS),
    "lstm": (lstm(4), (ZEROS, ZEROS)),
    "gru": (gru(4), ZEROS),
    "recurrent": (recurrent(cell, lambda x: jnp.zeros((x.shape[0], 4))), ZEROS),
}
over_layers = pytest.mark.parametrize("layer, zeros", LAYERS.values(), ids=LAYERS)


@over_layers
def test_a_sequence_in_parts_with_the_carry_between_them_equals_the_whole(layer, zeros):
    init, apply = jax.jit(layer.init), jax.jit(layer.apply)
    params, state = init(jax.random.key(0), X)
    whole, _ = apply(params, state, X)
    assert_same(init(jax.random.key(0), (zeros, X)), (params, state))
    (carry, first), _ = apply(params, state, (zeros, X[:, :2]))
    (carry, second), _ = apply(params, state, (carry, X[:, 2:]))
    assert_close(jnp.concatenate([first, second], axis=1), whole, 1e-6)
    assert jax.tree.structure(carry) == jax.tree.structure(zeros)


@over_layers
def test_a_stopped_gradient_of_the_carry_truncates_backpropagation(layer, zeros):
    params, state = jax.jit(layer.init)(jax.random.key(0), X)

    def last(x, stop):
        (carry, _), _ = layer.apply(params, state, (zeros, x[:, :2]))
        carry = jax.lax.stop_gradient(carry) if stop else carry
        return layer.apply(params, state, (carry, x[:, 2:]))[0][1][:, -1].sum()

    gradient = jax.jit(jax.grad(last), static_argnums=1)
    truncated, full = (gradient(X, stop) for stop in (True, False))
    assert not truncated[:, :2].any() and full[:, :2].all()
    assert_close(truncated[:, 2:], full[:, 2:], 1e-6)


def test_forget_biases_are_1_and_recurrent_kernels_orthogonal_per_gate():
    for layer, gates in ((simple_rnn(4), 1), (lstm(4), 4), (gru(4), 3)):
        params, _ = jax.jit(layer.init)(jax.random.key(0), X)
        for block in np.split(np.asarray(params["recurrent_kernel"]), gates, axis=1):
            assert_close(block @ block.T, np.eye(4), 1e-6)
        bound = np.sqrt(6 / (3 + 4))  # Glorot & Bengio 2010, of each gate
        assert bound / 2 < np.abs(params["kernel"]).max() <= bound
    bias = lstm(4).init(jax.random.key(0), X)[0]["bias"]
    assert bias.tolist() == [0] * 4 + [1] * 4 + [0] * 8


@pytest.mark.parametrize("make", [simple_rnn, lstm, gru])
def test_recurrent_dropout_drops_the_same_units_at_every_step(make):
    layer = make(4, recurrent_dropout=0.5)
    apply = jax.jit(make(4).apply)
    train = jax.jit(lambda key: layer.apply(params, state, X, key=key, train=True)[0])
    params, state = jax.jit(layer.init)(jax.random.key(0), X)
    params["recurrent_kernel"] = jnp.where(jnp.arange(4)[:, None] == 0, 1.0, 0.0) * jnp.ones(
        (1, params["recurrent_kernel"].shape[1])
    )
    evaluated, _ = jax.jit(layer.apply)(params, state, X)
    without, _ = apply(params | {"recurrent_kernel": 0 * params["recurrent_kernel"]}, {}, X)
    double, _ = apply(params | {"recurrent_kernel": 2 * params["recurrent_kernel"]}, {}, X)
    kinds = set()
    for seed in range(6):
        y = train(jax.random.key(seed))
        for row in range(2):
            kept = np.allclose(y[row], double[row], atol=1e-6)
            assert kept or np.allclose(y[row], without[row], atol=1e-6)
            kinds.add(kept)
    assert kinds == {True, False}
    assert_close(evaluated, apply(params, state, X)[0], 1e-6)


def test_recurrent_dropout_may_be_traced_and_needs_a_key():
    layer = lstm(4, recurrent_dropout=0.5)
    params, state = layer.init(jax.random.key(0), X)
    with pytest.raises(LayerError, match=r"lstm\(4\) needs a random key in training"):
        layer.apply(params, state, X, train=True)

    @jax.jit
    def run(rate, key):
        return lstm(4, recurrent_dropout=rate).apply(params, state, X, key=key, train=True)[0]

    assert_same(run(0.0, jax.random.key(1)), lstm(4).apply(params, state, X)[0])


def test_many_steps_of_16_bit_params_are_added_up_in_32_bits():
    x = jnp.ones((1, 400, 1), jnp.bfloat16)
    layer = lstm(1)
    params, _ = layer.init(jax.random.key(0), x)
    # The cell grows by 2^-9 of its value per step, which bfloat16 would round away.
    params = {name: jnp.zeros_like(p, jnp.bfloat16) for name, p in params.items()}
    params["bias"] = jnp.array([-6.0, 20.0, 20.0, 20.0], jnp.bfloat16)
    zeros = jnp.zeros((1, 1))
    ((_, c), y), _ = layer.apply(params, {}, ((zeros, zeros), x))
    assert y.dtype == jnp.bfloat16 and c.dtype == jnp.float32
    assert float(c[0, 0]) == pytest.approx(400 / (1 + np.exp(6.0)), rel=1e-3)


def test_a_bidirectional_layer_joins_final_states_if_its_layer_collapses_time():
    layer = bidirectional(serial(("rnn", gru(4)), last_step))
    params, state = jax.jit(layer.init)(jax.random.key(0), X)
    y, _ = jax.jit(layer.apply)(params, state, X)
    backward, _ = jax.jit(gru(4).apply)(params["backward"]["rnn"], {}, X[:, ::-1])
    assert_close(y[:, 4:], backward[:, -1], 1e-6)


REFUSED = {
    "units": (lambda: lstm(0), "lstm expects units to be a positive integer, but got 0"),
    "a rate": (lambda: gru(3, recurrent_dropout=1.0), r"recurrent_dropout in \[0, 1\)"),
    "no steps": (lambda: lstm(4).init(jax.random.key(0), X[:, :0]), "at least one step"),
    "a rank": (lambda: gru(4).init(jax.random.key(0), X[0]), r"\(batch, time, features\) with"),
    "no features": (lambda: gru(4).init(jax.random.key(0), X[..., :0]), "at least one input feat"),
    "other features": (
        lambda: lstm(4).apply(lstm(4).init(jax.random.key(0), X)[0], {}, X[..., :2]),
        r"lstm\(4\) expects \(batch, time, 3\) but got \(2, 6, 2\); call init",
    ),
    "a carry": (
        lambda: lstm(4).apply(lstm(4).init(jax.random.key(0), X)[0], {}, (ZEROS, X)),
        r"expects \(\(h, c\), two arrays \(2, 4\), and x\), but got a carry of shapes \[\(2, 4\)\]",
    ),
    "a carry in both directions": (
        lambda: bidirectional(gru(4)).init(jax.random.key(0), (ZEROS, X)),
        r"expects a sequence without a carry, but got \(carry, x\)",
    ),
}


@pytest.mark.parametrize("call, message", REFUSED.values(), ids=REFUSED)
def test_wrong_calls_are_refused_with_the_cure(call, message):
    with pytest.raises(LayerError, match=message):
        call()
