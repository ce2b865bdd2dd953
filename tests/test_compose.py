"""Composition: how names, keys and state pass from a network to its children."""

from collections import Counter
from zlib import crc32

import jax
import jax.numpy as jnp
import pytest
from helpers import assert_close, assert_same, normal, spec

from jaxnets import (
    Layer,
    avg_pool,
    batch_norm,
    conv,
    dense,
    dropout,
    flatten,
    network,
    scan_over_time,
    serial,
)

x = normal(2, 3)


def names(tree):
    """The nesting of a tree's names, without its arrays."""
    return {k: names(v) if isinstance(v, dict) else None for k, v in tree.items()}


def initial_names(model, x=x):
    """The nested names in the params and the state that `init` returns."""
    return tuple(map(names, jax.eval_shape(model.init, jax.random.key(0), x)))


WEIGHTS = {"kernel": None, "bias": None}


# Names


def test_params_and_state_nest_by_name():
    block = network(fc=dense(3), norm=batch_norm())(lambda x, *, fc, norm: x + norm(fc(x)))
    params, state = initial_names(serial(("block", block), jnp.tanh, ("head", dense(2))))
    affine = {"scale": None, "bias": None}
    assert params == {"block": {"fc": WEIGHTS, "norm": affine}, "head": WEIGHTS}
    assert state == {"block": {"norm": {"mean": None, "var": None}}}


def test_lenet_has_61706_params():
    lenet = serial(
        ("conv1", conv(6, (5, 5))), jnp.tanh, avg_pool((2, 2)),
        ("conv2", conv(16, (5, 5), padding="VALID")), jnp.tanh, avg_pool((2, 2)), flatten,
        ("fc1", dense(120)), jnp.tanh, ("fc2", dense(84)), jnp.tanh, ("head", dense(10)),
    )  # fmt: skip
    images = jax.ShapeDtypeStruct((1, 28, 28, 1), jnp.float32)
    params, state = jax.eval_shape(lenet.init, jax.random.key(0), images)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 61_706
    assert state == {}


def test_named_children_without_params_leave_no_entry():
    silent = serial(("drop", dropout(0.5)), ("tanh1", jnp.tanh), ("inner", serial(jnp.tanh)))
    assert silent.init(jax.random.key(0), x) == ({}, {})


def test_a_child_that_is_never_called_has_no_params():
    @network(fc=dense(3), project=dense(3))
    def residual(x, *, fc, project):
        y = fc(x)
        return y + (x if x.shape == y.shape else project(x))

    assert initial_names(residual, normal(2, 3)) == ({"fc": WEIGHTS}, {})
    assert initial_names(residual, normal(2, 4)) == ({"fc": WEIGHTS, "project": WEIGHTS}, {})


def test_a_child_may_be_omitted_if_the_forward_function_has_a_default():
    model = network(fc=dense(3))(lambda x, *, fc, skip=None: skip(x) if skip else fc(x))
    assert initial_names(model) == ({"fc": WEIGHTS}, {})


@pytest.mark.parametrize("name", ["x", "params", "self", "order", "stages", "children"])
def test_a_stage_may_have_the_name_of_an_argument(name):
    assert initial_names(serial((name, dense(1)))) == ({name: WEIGHTS}, {})


# Keys


def data(key, *folded):
    for number in folded:
        key = jax.random.fold_in(key, number)
    return jax.random.key_data(key)


def show_key(params, state, x, *, key=None, train=False):
    return x if key is None else data(key), state


# A layer that returns its key: as its params in init, as its output in apply.
shows_key = Layer(lambda key, x: ({"key": data(key)}, {}), show_key)


def test_a_childs_key_is_the_key_folded_with_the_crc_of_its_name():
    params, _ = serial(("a", serial(("b", shows_key)))).init(jax.random.key(0), x)
    assert_same(params["a"]["b"]["key"], data(jax.random.key(0), crc32(b"a"), crc32(b"b")))


def test_a_repeated_call_of_a_child_also_folds_in_its_number():
    model = network(a=shows_key)(lambda x, *, a: (a(x), a(x), a(x)))
    params, state = model.init(jax.random.key(1), x)
    seen, _ = model.apply(params, state, x, key=jax.random.key(0), train=True)
    a = crc32(b"a")
    assert_same(
        seen,
        (data(jax.random.key(0), a), data(jax.random.key(0), a, 1), data(jax.random.key(0), a, 2)),
    )


def test_masks_differ_between_calls_between_siblings_and_between_steps():
    @network(drop=dropout(0.5), other=dropout(0.5))
    def masks(x, *, drop, other):
        return drop(x), drop(x), other(x)

    ones = jnp.ones((8, 8))
    seen = []
    for step in range(2):
        key = jax.random.fold_in(jax.random.key(0), step)
        seen += masks.apply({}, {}, ones, key=key, train=True)[0]
    assert len({mask.tobytes() for mask in map(jax.device_get, seen)}) == 6


def test_a_new_sibling_does_not_change_the_other_params():
    small, _ = serial(("a", dense(3)), ("b", dense(3))).init(jax.random.key(0), x)
    large, _ = serial(("a", dense(3)), ("new", dense(3)), ("b", dense(3))).init(
        jax.random.key(0), x
    )
    assert_same({name: large[name] for name in small}, small)


# State


def test_a_repeated_call_of_a_child_gets_the_state_of_its_last_call():
    norm = batch_norm(decay=0.5)
    model = network(norm=norm)(lambda x, *, norm: norm(jnp.square(norm(x))))
    params, state = model.init(jax.random.key(0), x)
    y, first = norm.apply(params["norm"], state["norm"], x, train=True)
    y, second = norm.apply(params["norm"], first, jnp.square(y), train=True)
    assert_same(model.apply(params, state, x, train=True), (y, {"norm": second}))


def test_apply_does_not_modify_its_state_argument():
    model = serial(("norm", batch_norm()))
    params, state = model.init(jax.random.key(0), x)
    before = dict(state)
    model.apply(params, state, x, train=True)
    assert state["norm"] is before["norm"]


# Initialisation


def test_each_leaf_is_initialised_once_at_a_depth_of_eight():
    inits = Counter()

    def leaf(name):
        def init(key, x):
            inits[name] += 1
            return {"kernel": jnp.zeros(2)}, {}

        return Layer(init, lambda params, state, x, *, key=None, train=False: (x, state))

    model = leaf("core")
    for depth in range(8):
        if depth % 2:
            model = serial((f"beside{depth}", leaf(depth)), ("inner", model))
        else:
            around = network(inner=model, beside=leaf(depth))
            model = around(lambda x, *, inner, beside: beside(inner(beside(x))))
    model.init(jax.random.key(0), x)
    assert inits == dict.fromkeys(["core", *range(8)], 1)


def test_init_runs_no_forward_pass_even_for_a_terabyte_of_examples():
    huge = jax.ShapeDtypeStruct((10**9, 1000), jnp.float32)
    params, _ = serial(("fc", dense(3)), jnp.tanh, ("head", dense(2))).init(jax.random.key(0), huge)
    assert params["fc"]["kernel"].shape == (1000, 3)


def test_init_gives_the_same_under_jit_and_over_a_population_of_keys():
    model = serial(("fc", dense(3)), ("norm", batch_norm()))
    one_by_one = [model.init(jax.random.key(seed), x) for seed in range(2)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *one_by_one)
    keys = jnp.stack([jax.random.key(seed) for seed in range(2)])
    assert_close(jax.vmap(lambda key: model.init(key, spec(x)))(keys), stacked, 1e-6)
    assert_close(jax.jit(model.init)(jax.random.key(0), x), one_by_one[0], 1e-6)


# Recurrence


@network(mix=dense(3), norm=batch_norm(decay=0.5), drop=dropout(0.5))
def recurrent_cell(carry_and_x, *, mix, norm, drop):
    carry = jnp.tanh(norm(mix(jnp.concatenate(carry_and_x, axis=-1))))
    return carry, drop(carry)


@pytest.mark.parametrize("train", [False, True], ids=["eval", "train"])
def test_scan_over_time_equals_a_python_loop_over_the_steps(train):
    sequence = normal(4, 5, 2)
    layer = scan_over_time(recurrent_cell, lambda x: jnp.zeros((x.shape[0], 3)))
    params, first = layer.init(jax.random.key(0), sequence)
    y, last = layer.apply(params, first, sequence, key=jax.random.key(1), train=train)

    carry, state, outputs = jnp.zeros((4, 3)), first, []
    for t in range(5):
        key = jax.random.fold_in(jax.random.key(1), t)
        before = (carry, sequence[:, t])
        (carry, out), state = recurrent_cell.apply(params, state, before, key=key, train=train)
        outputs.append(out)
    assert_close((y, last), (jnp.stack(outputs, axis=1), state))
    assert (last["norm"]["mean"] != first["norm"]["mean"]).all() == train


# Tags


def tags(jaxpr):
    """The name stack and the name of each tagged output."""
    return [
        (str(eqn.source_info.name_stack), eqn.params["name"])
        for eqn in jaxpr.eqns
        if eqn.primitive.name == "name"
    ]


def test_every_named_output_is_tagged_under_its_path():
    block = network(fc=dense(3))(lambda x, *, fc: fc(fc(x)))
    model = serial(("block", block), jnp.tanh, ("tanh1", jnp.tanh), ("head", dense(2)))
    params, state = model.init(jax.random.key(0), x)
    assert tags(jax.make_jaxpr(model.apply)(params, state, x)) == [
        ("block/fc", "fc"),
        ("block/fc", "fc"),
        ("block", "block"),
        ("tanh1", "tanh1"),
        ("head", "head"),
    ]


def test_outputs_inside_a_scan_over_time_are_tagged_too():
    layer = scan_over_time(recurrent_cell, lambda x: jnp.zeros((x.shape[0], 3)))
    params, state = layer.init(jax.random.key(0), normal(4, 5, 2))
    jaxpr = jax.make_jaxpr(layer.apply)(params, state, normal(4, 5, 2))
    (scan,) = (eqn for eqn in jaxpr.eqns if eqn.primitive.name == "scan")
    assert [name for _, name in tags(scan.params["jaxpr"])] == ["mix", "norm", "drop"]


def test_init_in_a_program_that_is_traced_equals_init_outside():
    model = serial(("fc1", dense(3)), ("fc2", dense(2)))
    key, x = jax.random.key(0), jax.ShapeDtypeStruct((1, 4), jnp.float32)
    expected = model.init(key, x)
    assert_close(jax.jit(lambda: model.init(key, x))(), expected, 1e-6)
    assert_close(
        jax.vmap(lambda _: model.init(key, x)[0]["fc1"]["kernel"])(jnp.zeros(2))[1],
        expected[0]["fc1"]["kernel"],
        1e-6,
    )
