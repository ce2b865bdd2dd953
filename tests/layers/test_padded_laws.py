"""The laws of padded batches, for every layer along time: padding has no effect on anything."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, assert_same, normal
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from jaxnets import (
    Padded,
    avg_pool,
    batch_norm,
    bidirectional,
    conv,
    dense,
    each_step,
    gru,
    last_step,
    layer_norm,
    lstm,
    max_over_time,
    max_pool,
    mean_over_time,
    network,
    recurrent,
    separable_conv,
    serial,
    simple_rnn,
    sum_pool,
)

BATCH, TIME, FEATURES = 4, 7, 2
LENGTHS = (0, 1, 4, 7)
JUNK = (np.nan, np.inf, -np.inf, 3e38)
VALUES = np.abs(np.asarray(normal(BATCH, TIME, FEATURES))) + np.float32(0.5)  # for the logarithm


@network(mix=dense(3))
def cell(carry_and_x, *, mix):
    carry = jnp.tanh(mix(jnp.concatenate(carry_and_x, axis=-1)))
    return carry, carry


LAYERS = {
    "simple_rnn": simple_rnn(3),
    "lstm": lstm(3),
    "gru": gru(3),
    "recurrent": recurrent(cell, lambda x: jnp.zeros((x.shape[0], 3))),
    "bidirectional": bidirectional(lstm(2)),
    "bidirectional, last steps": bidirectional(serial(("rnn", gru(2)), last_step)),
    "conv": conv(3, (3,)),
    "conv with strides": conv(3, (4,), strides=3),
    "conv VALID": conv(3, (3,), padding="VALID", dilation=2),
    "conv causal": conv(3, (2,), padding=((2, 0),), dilation=2),
    "conv padded beyond its window": conv(3, (2,), padding=((3, 3),), strides=2),
    "separable_conv": separable_conv(3, (3,), strides=2),
    "batch_norm": batch_norm(),
    "max_pool": serial(max_pool((2,))),
    "max_pool SAME": serial(max_pool((3,), strides=2, padding="SAME")),
    "avg_pool": serial(avg_pool((2,))),
    "avg_pool SAME": serial(avg_pool((3,), strides=2, padding="SAME")),
    "sum_pool": serial(sum_pool((3,), strides=1, padding="SAME")),
    "each_step of a layer": each_step(serial(("fc", dense(3)), ("norm", layer_norm()))),
    "each_step of a logarithm": serial(each_step(jnp.log)),
    "last_step": serial(last_step),
    "mean_over_time": serial(mean_over_time),
    "max_over_time": serial(max_over_time),
}
over_layers = pytest.mark.parametrize("name", LAYERS)
examples = settings(
    max_examples=12, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate]
)
lengths_of_rows = st.lists(st.sampled_from(LENGTHS), min_size=BATCH, max_size=BATCH)


@cache
def start(name):
    return LAYERS[name].init(jax.random.key(0), Padded(VALUES, np.full(BATCH, TIME)))


@cache
def program(name):
    """The output, and the gradients of a weighted sum of it for the params and the values."""
    params, state = start(name)

    @jax.jit
    def run(values, lengths, weights):
        def total(params, values):
            x = values if lengths is None else Padded(values, lengths)
            y, _ = LAYERS[name].apply(params, state, x)
            array = y.values if isinstance(y, Padded) else y
            w = weights[:, : array.shape[1]] if array.ndim == 3 else weights[:, 0]
            return (array * w[..., : array.shape[-1]]).sum(), y

        gradients, y = jax.grad(total, (0, 1), has_aux=True)(params, values)
        return y, gradients

    return run


WEIGHTS = np.asarray(normal(BATCH, 20, 8, seed=1))


def run(name, lengths, junk=0.0):
    values = np.where(valid(lengths), VALUES, np.float32(junk))
    return program(name)(values, np.array(lengths, np.int32), WEIGHTS)


def valid(lengths, time=TIME):
    return (np.arange(time) < np.asarray(lengths)[:, None])[..., None]


@over_layers
@examples
@given(lengths=lengths_of_rows, junk=st.sampled_from(JUNK))
def test_padding_of_any_value_changes_no_output_and_no_gradient(name, lengths, junk):
    y, gradients = run(name, lengths, junk)
    assert_same((y, gradients), run(name, lengths))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((y, gradients)))


@over_layers
@examples
@given(lengths=lengths_of_rows)
def test_the_output_and_the_gradient_in_the_padding_are_zero(name, lengths):
    y, (_, by_values) = run(name, lengths, np.nan)
    assert not np.where(valid(lengths), 0, by_values).any()
    if isinstance(y, Padded):
        assert not np.where(valid(y.lengths, y.values.shape[1]), 0, y.values).any()
    else:
        assert not np.where(np.array(lengths)[:, None] > 0, 0, y).any()


@over_layers
@settings(examples, max_examples=3)
@given(lengths=lengths_of_rows)
def test_a_row_alone_equals_the_row_in_a_padded_batch(name, lengths):
    y, (by_params, by_values) = run(name, lengths, np.nan)
    total = jax.tree.map(np.zeros_like, by_params)
    for row, n in enumerate(lengths):
        expected = y.values.shape[1] if isinstance(y, Padded) else None
        if n == 0 or (expected is not None and not y.lengths[row]):
            continue  # without steps, or shorter than the window
        here = slice(row, row + 1)
        alone, (one_by_params, one_by_values) = program(name)(VALUES[here, :n], None, WEIGHTS[here])
        together = y.values[here, : y.lengths[row]] if isinstance(y, Padded) else y[here]
        assert_close(together, alone, 2e-6)
        assert_close(by_values[here, :n], one_by_values, 1e-5)
        total = jax.tree.map(np.add, total, one_by_params)
    assert_close(by_params, total, 1e-5)


@over_layers
def test_a_batch_of_empty_rows_gives_zeros_and_no_gradient(name):
    y, gradients = run(name, [0] * BATCH, np.nan)
    assert not any(np.asarray(leaf).any() for leaf in jax.tree.leaves((y, gradients)))


@pytest.mark.parametrize("name", ["lstm", "gru", "bidirectional", "conv with strides"])
def test_a_padded_batch_in_16_bits_is_the_float32_result_rounded_once(name):
    lengths = np.array(LENGTHS, np.int32)
    half = VALUES.astype(jnp.bfloat16)
    actual, _ = program(name)(half, lengths, WEIGHTS)
    expected, _ = program(name)(half.astype(np.float32), lengths, WEIGHTS)
    assert_same(actual, expected)


def test_batch_norm_in_training_takes_the_statistics_of_the_valid_steps_alone():
    lengths = np.array(LENGTHS, np.int32)
    x = Padded(np.where(valid(lengths), VALUES, np.nan), lengths)
    layer, (params, state) = LAYERS["batch_norm"], start("batch_norm")
    y, padded_state = layer.apply(params, state, x, train=True)
    rows = np.concatenate([row[:n] for row, n in zip(VALUES, lengths, strict=True)])
    expected, expected_state = layer.apply(params, state, rows, train=True)
    actual = np.concatenate([row[:n] for row, n in zip(y.values, lengths, strict=True)])
    assert_close((actual, padded_state), (expected, expected_state), 2e-6)
    nothing = Padded(x.values, np.zeros(BATCH, np.int32))
    assert_same(layer.apply(params, state, nothing, train=True)[1], state)


@pytest.mark.parametrize("name", ["lstm", "simple_rnn", "recurrent"])
def test_the_carry_of_a_padded_batch_is_that_after_each_rows_last_valid_step(name):
    params, state = start(name)
    zeros = jnp.zeros((BATCH, 3))
    carry = (zeros, zeros) if name == "lstm" else zeros
    x = Padded(np.full_like(VALUES, np.nan), np.zeros(BATCH, np.int32))
    assert_same(LAYERS[name].apply(params, state, (carry, x))[0][0], carry)
    lengths = np.array([7, 1, 4, 4], np.int32)
    x = Padded(np.where(valid(lengths), VALUES, np.nan), lengths)
    last, y = LAYERS[name].apply(params, state, (carry, x))[0]
    assert_close(last[0] if name == "lstm" else last, last_step(y), 1e-6)
