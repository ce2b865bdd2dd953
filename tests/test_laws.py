"""The laws of the layer interface, for every public layer and function."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, as_float64, draws, in_both_modes, over_all, over_layers, start
from helpers import assert_close, assert_same, spec
from jax.test_util import check_grads

import jaxnets
from jaxnets import LayerError


def test_the_tables_cover_every_public_layer_and_function():
    public = {
        name
        for module in (jaxnets, jaxnets.layers)
        for name in module.__all__
        if inspect.isfunction(getattr(module, name))
    }
    others = {"evaluate", "fit", "make_train_step", "predict", "stateless", "summary"}
    others |= {"load_model", "save_model"}
    covered = {name.split()[0] for name in CASES}
    assert covered == public - others, "add a Case of the new layer to tests/cases.py"


@over_all
def test_abstract_init_equals_concrete_init_in_shapes_and_dtypes(case):
    concrete = case.layer.init(jax.random.key(0), case.x)
    assert jax.eval_shape(case.layer.init, jax.random.key(0), spec(case.x)) == spec(concrete)


@over_all
def test_init_from_a_spec_equals_init_from_an_array_bit_for_bit(case):
    assert_same(
        case.layer.init(jax.random.key(0), spec(case.x)), case.layer.init(jax.random.key(0), case.x)
    )


@over_layers
def test_the_same_key_gives_the_same_params_and_another_key_other_kernels(case):
    params, _ = case.layer.init(jax.random.key(1), case.x)
    assert_same(case.layer.init(jax.random.key(1), case.x)[0], params)
    others, _ = case.layer.init(jax.random.key(2), case.x)
    for (path, leaf), other in zip(
        jax.tree_util.tree_leaves_with_path(params), jax.tree.leaves(others), strict=True
    ):
        if path[-1].key in ("kernel", "embedding"):
            assert not (leaf == other).any()


@over_all
def test_layers_without_params_or_state_leave_no_entry(case):
    def assert_no_empty(tree, top=True):
        if isinstance(tree, dict):
            assert top or tree
            for subtree in tree.values():
                assert_no_empty(subtree, top=False)

    for tree in case.layer.init(jax.random.key(0), case.x):
        assert_no_empty(tree)


@over_all
def test_evaluation_needs_no_key_and_returns_the_state_unchanged(case):
    params, state = start(case)
    _, after = case.layer.apply(params, state, case.x)
    assert_same(after, state)


@over_all
def test_training_without_a_key_is_refused_with_the_cure_where_random_numbers_are_drawn(case):
    params, state = start(case)
    train = partial(case.layer.apply, params, state, case.x, train=True)
    if draws(case):
        with pytest.raises(LayerError, match=r"needs a random key in training, .*; pass key="):
            jax.eval_shape(train)
    else:
        assert "random_bits" not in str(jax.make_jaxpr(train)())


@over_layers
def test_training_keeps_the_structure_and_dtypes_of_the_state_and_moves_its_values(case):
    params, state = start(case)
    _, after = case.layer.apply(params, state, case.x, key=jax.random.key(0), train=True)
    assert spec(after) == spec(state)
    for before, now in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert not (before == now).all()


@over_all
@in_both_modes
def test_jit_equals_eager(case, train):
    params, state = start(case)
    apply = partial(case.layer.apply, train=train)
    eager = apply(params, state, case.x, key=jax.random.key(0))
    assert_close(jax.jit(apply)(params, state, case.x, key=jax.random.key(0)), eager, 1e-6)


@over_all
def test_a_batch_equals_vmap_of_its_rows_in_evaluation(case):
    params, state = start(case)

    def one(row):
        return case.layer.apply(params, state, row[None])[0][0]

    assert_close(jax.jit(jax.vmap(one))(case.x), case.layer.apply(params, state, case.x)[0], 1e-6)


@over_all
def test_a_training_step_can_be_the_body_of_a_scan(case):
    params, state = start(case)

    def body(state, x):
        y, state = case.layer.apply(params, state, x, key=jax.random.key(0), train=True)
        return state, y

    once, y = body(state, case.x)
    twice, _ = body(once, case.x)
    final, ys = jax.lax.scan(body, state, jnp.stack([case.x, case.x]))
    assert_close(final, twice, 1e-6)
    assert_close(ys[0], y, 1e-6)


@over_all
@in_both_modes
def test_numpy_arrays_are_accepted_like_jax_arrays(case, train):
    params, state = start(case)
    expected = case.layer.apply(params, state, case.x, key=jax.random.key(0), train=train)
    params, state, x = jax.tree.map(np.asarray, (params, state, case.x))
    actual = case.layer.apply(params, state, x, key=jax.random.key(0), train=train)
    assert_close(actual, expected, 1e-6)


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"scale_pixels"}))
def test_training_gradients_agree_with_finite_differences_to_second_order(name):
    case, train = CASES[name], not name.startswith("spectral_norm")  # whose vectors are constants
    params, state = start(case)
    with jax.enable_x64(True):
        params, state, x = as_float64((params, state, case.x))

        def check(layer, modes):
            @jax.jit
            def output(params, x):
                return layer.apply(params, state, x, key=jax.random.key(0), train=train)[0]

            if jnp.issubdtype(x.dtype, jnp.integer):
                check_grads(lambda params: output(params, x), (params,), 2, modes, eps=1e-5)
            else:
                check_grads(output, (params, x), 2, modes, eps=1e-5)

        if case.plain is None:
            check(case.layer, ["fwd", "rev"])
        else:
            check(case.plain, ["fwd", "rev"])
            check(case.layer, ["rev"])  # its own backward pass has no forward mode


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.plain])
@in_both_modes
def test_the_default_lowering_equals_the_plain_one(name, train):
    case = CASES[name]
    params, state = start(case)
    default, plain = (
        layer.apply(params, state, case.x, key=jax.random.key(0), train=train)
        for layer in (case.layer, case.plain)
    )
    assert_close(default, plain)
