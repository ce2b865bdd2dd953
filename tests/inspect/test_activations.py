"""Activations: every named output of a network."""

import jax
import jax.numpy as jnp
import pytest
from helpers import assert_close, assert_same, normal

from jaxnets import conv, dense, dropout, flatten, max_pool, network, scan_over_time, serial
from jaxnets.inspect import activations

X = normal(2, 8, 8, 1)
BLOCK = serial(("conv", conv(4, (3, 3))), ("relu", jax.nn.relu), max_pool((2, 2)))
MODEL = serial(("block1", BLOCK), ("block2", BLOCK), flatten, ("head", dense(3)))
PARAMS, STATE = MODEL.init(jax.random.key(0), X)


def test_every_named_output_is_collected_by_path_in_order():
    seen = activations(MODEL, PARAMS, STATE, X)
    assert list(seen) == [
        *("block1/conv", "block1/relu", "block1", "block2/conv", "block2/relu", "block2", "head")
    ]
    assert seen["block2"].shape == (2, 2, 2, 4)
    assert_close(seen["head"], MODEL.apply(PARAMS, STATE, X)[0])
    assert_close(seen["block1"], BLOCK.apply(PARAMS["block1"], {}, X)[0])
    assert_same(seen["block1/relu"], jnp.maximum(seen["block1/conv"], 0))


def test_a_shared_layer_s_calls_are_numbered():
    @network(fc=dense(3), twice=serial(("fc", dense(3))))
    def model(x, *, fc, twice):
        return twice(twice(fc(fc(x))))

    x = normal(2, 3)
    params, _ = model.init(jax.random.key(0), x)
    seen = activations(model, params, {}, x)
    assert list(seen) == ["fc", "fc#2", "twice/fc", "twice", "twice/fc#2", "twice#2"]
    by_hand = seen["fc"] @ params["fc"]["kernel"] + params["fc"]["bias"][None]
    assert_close(seen["fc#2"], by_hand)


def test_in_training_it_uses_the_key_and_may_be_traced():
    model = serial(("drop", dropout(0.5)), ("head", dense(3)))
    x, key = jnp.ones((4, 6)), jax.random.key(1)
    params, _ = model.init(jax.random.key(0), x)
    seen = jax.jit(lambda x: activations(model, params, {}, x, key=key, train=True))(x)
    with jax.debug_key_reuse(False):
        assert_close(seen["head"], model.apply(params, {}, x, key=key, train=True)[0])
    assert 0 < (seen["drop"] == 0).mean() < 1
    assert_same(activations(model, params, {}, x)["drop"], x)


def test_a_loop_is_one_operation_and_a_tuple_s_parts_are_numbered():
    def cell(carry_and_x):
        return carry_and_x[0] + carry_and_x[1], carry_and_x[1]

    model = serial(
        ("pair", lambda x: (x, 2 * x)),
        lambda pair: pair[0] + pair[1],
        ("sum", scan_over_time(serial(("cell", cell)), lambda x: 0 * x)),
    )
    x = normal(2, 5, 3)
    seen = activations(model, {}, {}, x)
    assert list(seen) == ["pair", "pair#2", "sum"]
    assert_same(seen["pair#2"], 2 * x)
    assert_same(seen["sum"], 3 * x)


@pytest.mark.parametrize("wrap", [jax.jit, jax.checkpoint])
def test_names_inside_jit_and_checkpoint_are_collected(wrap):
    apply = wrap(BLOCK.apply)
    block = BLOCK._replace(apply=lambda p, s, x, *, key=None, train=False: apply(p, s, x))
    params = {"block1": PARAMS["block1"]}
    seen = activations(serial(("block1", block)), params, {}, X)
    assert list(seen) == ["block1/conv", "block1/relu", "block1"]
