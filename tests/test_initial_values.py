"""How initial values are compiled: in few programs, of few kernels, and to the same bits."""

from collections import Counter

import jax
import jax.numpy as jnp
import pytest
from helpers import assert_close, assert_same

from jaxnets import batch_norm, conv, dense, embedding, flatten, lstm, network, serial
from jaxnets.initialisation import KeysFirst, threefry_bits

TOKENS = jax.ShapeDtypeStruct((1, 5), jnp.int32)
IMAGE = jax.ShapeDtypeStruct((1, 4, 4, 3), jnp.float32)
compiled = []


def record_compilation(event, seconds, **details):
    if "backend_compile" in event:
        compiled.append(details["fun_name"])


jax.monitoring.register_event_duration_secs_listener(record_compilation)


@network(table=embedding(7, 4), steps=lstm(3), norm=batch_norm(), head=dense(2))
def mixed(x, *, table, steps, norm, head):
    return head(norm(steps(table(x))))


def transformed(key):
    """The initial values by an eager call, under `jit`, and under `vmap`."""
    one = mixed.init(key, TOKENS)
    mapped = jax.jit(jax.vmap(lambda key: mixed.init(key, TOKENS)))(key[None])
    return one, jax.jit(lambda key: mixed.init(key, TOKENS))(key), jax.tree.map(jnp.squeeze, mapped)


@pytest.mark.optimized
def test_an_eager_init_equals_that_under_jit_and_vmap_bit_for_bit():
    eager, under_jit, under_vmap = transformed(jax.random.key(3))
    assert_same(under_jit, eager)
    assert_same(under_vmap, jax.tree.map(jnp.squeeze, eager))


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg"])
def test_an_eager_init_equals_that_under_jit_for_every_kind_of_key(impl):
    key = jax.random.key(3, impl=impl)
    under_jit = jax.jit(lambda key: mixed.init(key, TOKENS))(key)
    assert_close(mixed.init(key, TOKENS), under_jit, 1e-6)


def test_a_raw_key_gives_the_same_as_a_typed_one():
    raw = mixed.init(jax.random.PRNGKey(3), TOKENS)
    assert_close(raw, mixed.init(jax.random.key(3), TOKENS), 1e-6)


@pytest.mark.parametrize("shape", [(), (0,), (1,), (5,), (3, 4, 2)], ids=str)
def test_threefry_bits_are_those_of_jax(shape):
    key = jax.random.key(11)
    assert_same(threefry_bits(key, shape), jax.random.bits(key, shape))


def residual(features):
    layers = {"conv": conv(features, (3, 3)), "norm": batch_norm()}
    return network(**layers)(lambda x, *, conv, norm: x + norm(conv(x)))


def test_init_compiles_one_program_and_each_way_to_derive_a_key_once():
    model = serial(*[(f"block{n}", residual(3)) for n in range(5)], flatten, ("head", dense(2)))
    compiled.clear()
    model.init(jax.random.key(0), IMAGE)
    assert compiled.count("jit(initial_values)") == 1
    assert max(Counter(compiled).values()) <= 2, compiled  # the first and the second of two keys
    compiled.clear()
    model.init(jax.random.key(1), IMAGE)
    assert not compiled


def test_keys_constants_and_inputs_among_the_results_keep_their_places():
    constant = jax.random.key(5)

    def function(key, x):
        first, second = jax.random.split(key)
        value = jax.random.normal(first, (2,)) + x
        late = jax.random.fold_in(second, jnp.int32(value[0] * 0 + 7))  # depends on a number
        return {"key": second, "value": value, "late": late, "x": x, "constant": constant, "n": 3}

    x = jnp.ones(2)
    expected = jax.jit(function)(jax.random.key(1), x)
    got = KeysFirst(function)(jax.random.key(1), x)
    data = jax.random.key_data
    for name in ("key", "late", "constant"):
        assert_same(data(got.pop(name)), data(expected.pop(name)))
    assert_close(got, expected, 1e-6)
    shapes = KeysFirst(function).eval_shape(jax.random.key(1), x)
    assert shapes["value"].shape == (2,)
