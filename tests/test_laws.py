"""The laws of the contract, each over every public layer and function."""

import inspect
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import pytest
from helpers import assert_close, assert_same, normal, spec
from jax.test_util import check_grads

import jaxnets
from jaxnets import (
    Layer,
    avg_pool,
    batch_norm,
    conv,
    dense,
    dropout,
    embedding,
    flatten,
    global_avg_pool,
    layer_norm,
    lowering,
    max_pool,
    network,
    scale_pixels,
    scan_over_time,
    serial,
)


class Case(NamedTuple):
    """A layer and an input that suits it; `plain` is the layer in XLA's own operations alone."""

    layer: Layer
    x: jax.Array
    plain: Layer | None = None


def conv_case(x, *sizes, **how):
    return Case(conv(*sizes, **how), x, conv(*sizes, **how, convolve=lowering.plain_conv))


def max_pool_case(x, window, **how):
    plain = max_pool(window, **how, pool=lowering.plain_max_pool)
    return Case(serial(max_pool(window, **how)), x, serial(plain))


@network(fc=dense(5), norm=batch_norm(), drop=dropout(0.5))
def residual(x, *, fc, norm, drop):
    return x + drop(jnp.tanh(norm(fc(x))))


@network(fc=dense(5), norm=batch_norm(), drop=dropout(0.5))
def shared(x, *, fc, norm, drop):
    return drop(norm(fc(jnp.tanh(drop(norm(fc(x)))))))


@network(mix=dense(3), norm=batch_norm())
def recurrent_cell(carry_and_x, *, mix, norm):
    carry = jnp.tanh(norm(mix(jnp.concatenate(carry_and_x, axis=-1))))
    return carry, carry


def small_cnn(convolve, pool):
    return serial(
        ("conv", conv(3, (3,), convolve=convolve)),
        jnp.tanh,
        max_pool((3,), pool=pool),
        flatten,
        ("head", dense(2)),
    )


def first_carry(x):
    return jnp.zeros((x.shape[0], 3), x.dtype)


line, image, table = normal(3, 9, 4), normal(3, 7, 6, 4), normal(4, 5)
pixels = jnp.arange(48, dtype=jnp.uint8).reshape(2, 3, 4, 2)
tokens = jnp.arange(12).reshape(3, 4)

# The first word of each name is the public name that it is a case of.
LAYERS = {
    "dense": Case(dense(3), table),
    "dense without a bias": Case(dense(3, use_bias=False), table),
    "dense on images": Case(dense(3), image),
    "conv 1-D": conv_case(line, 4, (3,), strides=2, padding=((1, 2),)),
    "conv 2-D": conv_case(image, 4, (3, 2)),
    "conv 2-D strided": conv_case(image, 4, (3, 3), strides=(2, 1), padding="VALID"),
    "conv 2-D dilated": conv_case(image, 4, (2, 2), dilation=(2, 1), padding=((2, 0), (1, 1))),
    "conv 2-D grouped": conv_case(image, 4, (2, 2), groups=2, use_bias=False),
    "batch_norm": Case(batch_norm(), table),
    "batch_norm on images": Case(batch_norm(decay=0.5), image),
    "layer_norm": Case(layer_norm(), table),
    "dropout": Case(dropout(0.5), table),
    "embedding": Case(embedding(12, 3), tokens),
    "serial": Case(
        small_cnn(lowering.conv, lowering.max_pool),
        line,
        small_cnn(lowering.plain_conv, lowering.plain_max_pool),
    ),
    "network with a residual": Case(residual, table),
    "network with children called twice": Case(shared, table),
    "scan_over_time": Case(scan_over_time(recurrent_cell, first_carry), line),
}
FUNCTIONS = {
    "max_pool": max_pool_case(image, (2, 2)),
    "max_pool overlapping": max_pool_case(image, (3, 3), strides=2, padding="SAME"),
    "max_pool 1-D": max_pool_case(line, (3,)),
    "avg_pool": Case(serial(avg_pool((2, 2))), image),
    "avg_pool overlapping": Case(serial(avg_pool((3, 3), strides=2, padding="SAME")), image),
    "global_avg_pool": Case(serial(global_avg_pool), image),
    "flatten": Case(serial(flatten), image),
    "scale_pixels": Case(serial(scale_pixels((0.5, 0.2), (0.3, 0.4))), pixels),
}
CASES = LAYERS | FUNCTIONS

over_layers = pytest.mark.parametrize("case", LAYERS.values(), ids=LAYERS)
over_all = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
in_both_modes = pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])


def new_key(seed=0):
    return jax.random.key(seed)


def start(case, seed=0):
    """The layer's params and state, with the state away from its first values."""
    params, state = case.layer.init(new_key(seed), case.x)
    return params, jax.tree.map(lambda leaf: leaf + 0.25, state)


def as_float64(tree):
    def cast(leaf):
        return leaf.astype(jnp.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, tree)


def test_the_tables_cover_every_public_layer_and_function():
    public = {name: getattr(jaxnets, name) for name in jaxnets.__all__}
    functions = {name for name, value in public.items() if inspect.isfunction(value)}
    covered = {name.split()[0] for name in CASES}
    assert covered == functions


@over_all
def test_abstract_init_equals_concrete_init_in_shapes_and_dtypes(case):
    concrete = case.layer.init(new_key(), case.x)
    assert jax.eval_shape(case.layer.init, new_key(), spec(case.x)) == spec(concrete)


@over_all
def test_init_from_a_spec_equals_init_from_an_array_bit_for_bit(case):
    assert_same(case.layer.init(new_key(), spec(case.x)), case.layer.init(new_key(), case.x))


@over_layers
def test_the_same_key_gives_the_same_params_and_another_key_other_kernels(case):
    params, _ = case.layer.init(new_key(1), case.x)
    assert_same(case.layer.init(new_key(1), case.x)[0], params)
    others, _ = case.layer.init(new_key(2), case.x)
    for (path, leaf), other in zip(
        jax.tree_util.tree_leaves_with_path(params), jax.tree.leaves(others), strict=True
    ):
        if path[-1].key in ("kernel", "embedding"):
            assert not (leaf == other).any()


@over_all
def test_what_owns_nothing_leaves_no_entry(case):
    def assert_no_empty(tree, top=True):
        if isinstance(tree, dict):
            assert top or tree
            for subtree in tree.values():
                assert_no_empty(subtree, top=False)

    for tree in case.layer.init(new_key(), case.x):
        assert_no_empty(tree)


@over_all
def test_evaluation_needs_no_key_and_returns_the_state_unchanged(case):
    params, state = start(case)
    _, after = case.layer.apply(params, state, case.x)
    assert_same(after, state)


@over_layers
def test_training_keeps_the_structure_and_dtypes_of_the_state_and_moves_its_values(case):
    params, state = start(case)
    _, after = case.layer.apply(params, state, case.x, key=new_key(), train=True)
    assert spec(after) == spec(state)
    for before, now in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert not (before == now).all()


@over_all
@in_both_modes
def test_jit_equals_eager(case, train):
    params, state = start(case)
    apply = partial(case.layer.apply, train=train)
    eager = apply(params, state, case.x, key=new_key())
    assert_close(jax.jit(apply)(params, state, case.x, key=new_key()), eager, 1e-6)


@over_all
def test_a_batch_equals_vmap_of_its_rows_in_evaluation(case):
    params, state = start(case)

    def one(row):
        return case.layer.apply(params, state, row[None])[0][0]

    assert_close(jax.vmap(one)(case.x), case.layer.apply(params, state, case.x)[0], 1e-6)


@over_all
def test_a_training_step_is_a_body_for_scan(case):
    params, state = start(case)

    def step(state, x):
        y, state = case.layer.apply(params, state, x, key=new_key(), train=True)
        return state, y

    once, y = step(state, case.x)
    twice, _ = step(once, case.x)
    final, ys = jax.lax.scan(step, state, jnp.stack([case.x, case.x]))
    assert_close(final, twice, 1e-6)
    assert_close(ys[0], y, 1e-6)


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"scale_pixels"}))
def test_training_gradients_agree_with_finite_differences_to_second_order(name):
    case = CASES[name]
    params, state = start(case)
    with jax.enable_x64(True):
        params, state, x = as_float64((params, state, case.x))

        def check(layer, modes, how=lambda f: f):
            @how
            def output(params, x):
                params, x = jax.tree.map(jnp.asarray, (params, x))
                return layer.apply(params, state, x, key=new_key(), train=True)[0]

            if jnp.issubdtype(x.dtype, jnp.integer):
                check_grads(lambda params: output(params, x), (params,), 2, modes, eps=1e-5)
            else:
                check_grads(output, (params, x), 2, modes, eps=1e-5)

        if case.plain is None:
            check(case.layer, ["fwd", "rev"], jax.jit if name == "scan_over_time" else lambda f: f)
        else:
            check(case.plain, ["fwd", "rev"])
            check(case.layer, ["rev"], jax.jit)  # its own backward pass has no forward mode


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.plain])
@in_both_modes
def test_the_default_lowering_equals_the_plain_one(name, train):
    case = CASES[name]
    params, state = start(case)
    default, plain = (
        layer.apply(params, state, case.x, key=new_key(), train=train)
        for layer in (case.layer, case.plain)
    )
    assert_close(default, plain)
