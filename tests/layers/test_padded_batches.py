"""Padded batches: how they are made, and that every other layer refuses them and names the cure."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES
from helpers import assert_same, normal

from jaxnets import (
    LayerError,
    Padded,
    avg_pool,
    batch_norm,
    conv,
    dense,
    each_step,
    last_step,
    lstm,
    network,
    recurrent,
    serial,
)

KEY = jax.random.key(0)
X = Padded(np.ones((2, 3, 4), np.float32), np.array([3, 1], np.int32))
TAKES_THEM = {"simple_rnn", "lstm", "gru", "bidirectional", "recurrent", "each_step", "conv"}
TAKES_THEM |= {"batch_norm", "max_pool", "avg_pool", "sum_pool"}
TAKES_THEM |= {"last_step", "mean_over_time", "max_over_time"}
TAKES_THEM |= {"depthwise_conv", "separable_conv", "serial"}
REFUSE = [name for name in CASES if name.split()[0] not in TAKES_THEM or "2-D" in name]


@pytest.mark.parametrize("name", REFUSE)
def test_every_other_layer_refuses_a_padded_batch_and_names_each_step(name):
    case = CASES[name]
    params, state = jax.eval_shape(case.layer.init, jax.random.key(0), case.x)
    wide = Padded(np.stack([case.x, case.x], axis=1), np.ones(len(case.x), np.int32))
    with pytest.raises(LayerError, match="each_step"):
        jax.eval_shape(partial(case.layer.apply, train=True), params, state, wide, key=KEY)


FUNCTIONS = {
    "jax.nn.relu": jax.nn.relu,
    "jax.nn.softmax": jax.nn.softmax,
    "a sum": lambda x: x + x,
    "a multiple": lambda x: 2 * x,
    "a step": lambda x: x[:, -1],
    "its shape": lambda x: x.reshape(x.shape[0], -1),
    "NumPy": np.tanh,
    "a matmul": lambda x: x @ jnp.ones((4, 4)),
    "a comparison": lambda x: x > 0,
    "the negative": lambda x: -x,
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_plain_functions_refuse_a_padded_batch_and_name_each_step(function):
    model = serial(("rnn", lstm(4)), ("f", function))
    with pytest.raises(LayerError, match=r"each_step\(dense\(10\)\), or collapse time"):
        model.init(jax.random.key(0), X)


def test_an_error_names_the_layer_that_got_the_padded_batch():
    with pytest.raises(LayerError, match=r"^head: expected an array"):
        serial(("rnn", lstm(4)), ("head", dense(2))).init(jax.random.key(0), X)


def test_each_step_has_the_params_of_its_layer_and_its_output_at_every_step():
    layer, x = dense(2), normal(3, 5, 4)
    params, state = each_step(layer).init(jax.random.key(0), x)
    assert_same(params, layer.init(jax.random.key(0), x[:, 0])[0])
    y, _ = each_step(layer).apply(params, state, x)
    for t in range(5):
        assert np.allclose(y[:, t], layer.apply(params, state, x[:, t])[0], atol=1e-6)


def test_each_step_takes_videos():
    layer = each_step(serial(("conv", conv(2, (3, 3))), avg_pool((2, 2))))
    x = Padded(normal(2, 3, 4, 4, 1), np.array([3, 0], np.int32))
    params, state = layer.init(jax.random.key(0), x)
    assert layer.apply(params, state, x)[0].values.shape == (2, 3, 2, 2, 2)


@network(norm=batch_norm())
def stateful(carry_and_x, *, norm):
    return norm(carry_and_x[1]), norm(carry_and_x[1])


@pytest.mark.parametrize("layer", [each_step(batch_norm()), recurrent(stateful, lambda x: x)])
def test_statistics_that_would_count_the_padding_are_refused(layer):
    with pytest.raises(LayerError, match="statistics would count the padding, but got state"):
        layer.init(jax.random.key(0), X)


@pytest.mark.parametrize("lengths", [np.ones((2, 1), int), np.ones(2), np.ones(3, int)])
def test_lengths_that_are_not_one_integer_per_row_are_refused(lengths):
    with pytest.raises(LayerError, match="expects the lengths of a Padded batch as 2 integers"):
        last_step(Padded(X.values, lengths))


def test_rows_are_padded_to_the_longest_or_to_a_given_time():
    rows = [np.arange(6).reshape(3, 2), np.ones((1, 2), int)]
    assert Padded.of(rows).values.shape == (2, 3, 2)
    x = Padded.of(rows, time=5)
    assert x.values.shape == (2, 5, 2) and x.lengths.tolist() == [3, 1]
    assert x.values[1].tolist() == [[1, 1]] + [[0, 0]] * 4
    for wrong in ([], [np.ones((2, 2)), np.ones((2, 3))], [np.float32(1)]):
        with pytest.raises(LayerError, match=r"expects at least one array \(steps, ...\)"):
            Padded.of(wrong)
    with pytest.raises(LayerError, match="of at most 2 steps"):
        Padded.of(rows, time=2)
