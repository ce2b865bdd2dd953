"""Initial values are compiled in few programs with few kernels, and equal those under jit."""

from collections import Counter

import jax
import jax.numpy as jnp
import pytest
from helpers import assert_close, assert_same

from jaxnets import batch_norm, conv, dense, embedding, flatten, lstm, network, serial
from jaxnets.draws import BLOCK, threefry_bits
from jaxnets.initialisation import KeysFirst

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


def test_threefry_bits_are_those_of_jax():
    keys = jax.random.split(jax.random.key(11), 3)
    bits = threefry_bits(
        jax.random.key_data(keys)[:, None], jnp.arange(100, dtype=jnp.uint32)[None]
    )
    assert_same(bits, jax.vmap(lambda key: jax.random.bits(key, (100,)))(keys))


SHAPES = [(), (0,), (5, 3), (2, BLOCK), (BLOCK + 1,)]
DRAWS = {
    "truncated normal": lambda key, shape: jax.random.truncated_normal(key, -2, 2, shape),
    "normal": jax.random.normal,
    "normal, scaled": lambda key, shape: 0.3 * jax.random.normal(key, shape),
    "laplace": jax.random.laplace,
    "uniform": lambda key, shape: jax.random.uniform(key, shape, minval=-0.3, maxval=0.7),
    "bernoulli": lambda key, shape: jax.random.bernoulli(key, 0.3, shape),
    "bits": jax.random.bits,
    "exponential": jax.random.exponential,
    "16 bits": lambda key, shape: jax.random.normal(key, shape, jnp.bfloat16),
    "integers": lambda key, shape: jax.random.randint(key, shape, 0, 100),
    "complex": lambda key, shape: jnp.abs(jax.random.normal(key, shape, jnp.complex64)),
    "gamma": lambda key, shape: jax.random.gamma(key, 2.0, shape),
    "permutation": lambda key, shape: jax.random.permutation(key, jnp.ones(shape)) if shape else 1,
    "a bound with axes": lambda key, shape: jax.random.uniform(
        key, shape, maxval=jnp.full([1] * len(shape), 0.3)
    ),
    "bounds of an array": lambda key, shape: jax.random.uniform(key, shape, maxval=jnp.ones(shape)),
}


def everything(key, names):
    """Every draw in every shape, each with a key of its own."""
    keys = iter(jax.random.split(key, len(names) * len(SHAPES)))
    return [DRAWS[name](next(keys), shape) for shape in SHAPES for name in names]


@pytest.mark.optimized
def test_draws_of_every_shape_equal_those_under_jit_bit_for_bit():
    def function(key):
        # gamma is a loop, which may round differently
        return everything(key, sorted(DRAWS.keys() - {"gamma"}))

    key = jax.random.key(5)
    assert_same(KeysFirst(function)(key), jax.jit(function)(jax.random.key(5)))


def test_draws_of_every_shape_equal_those_of_jax():
    def function(key):
        return everything(key, tuple(DRAWS))

    got = KeysFirst(function)(jax.random.key(5))
    assert_close(got, jax.jit(function)(jax.random.key(5)), 1e-5)


def test_a_call_that_draws_two_shapes_from_one_key_equals_that_of_jax():
    def function(key):
        return jax.jit(lambda key: jax.random.bits(key, (3,)) ^ jax.random.bits(key))(key)

    with jax.debug_key_reuse(False):
        key = jax.random.key(5)
        assert_same(KeysFirst(function)(key), function(key))


def test_draws_of_many_members_equal_those_of_jax():
    keys = jax.random.split(jax.random.key(5), 3)
    names = ("truncated normal", "uniform")
    mapped = jax.vmap(lambda key: everything(key, names))
    assert_close(KeysFirst(mapped)(keys), mapped(jax.random.split(jax.random.key(5), 3)), 1e-5)


def test_arrays_of_one_formula_share_a_kernel_with_those_of_other_models():
    serial(("first", dense(5)), ("second", dense(6))).init(jax.random.key(0), jnp.ones((1, 4)))
    compiled.clear()
    wide = serial(*[(f"layer{n}", dense(5 + n)) for n in range(9)])
    wide.init(jax.random.key(0), jnp.ones((1, 4)))
    assert "jit(_values)" not in compiled


def residual(features):
    layers = {"conv": conv(features, (3, 3)), "norm": batch_norm()}
    return network(**layers)(lambda x, *, conv, norm: x + norm(conv(x)))


def test_init_compiles_one_program_and_each_way_to_derive_a_key_once():
    model = serial(*[(f"block{n}", residual(3)) for n in range(5)], flatten, ("head", dense(2)))
    compiled.clear()
    model.init(jax.random.key(0), IMAGE)
    assert compiled.count("jit(_evaluate_rest)") == 1
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
