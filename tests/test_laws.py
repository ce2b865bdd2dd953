"""The laws of the layer interface, for every public layer and function."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, as_float64, over_all, over_layers
from derivatives import assert_derivatives
from helpers import assert_close, assert_same, spec
from results import compiled, draws, eager, in_all_modes, initial, modes, start

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
    abstract = jax.eval_shape(case.layer.init, jax.random.key(0), spec(case.x))
    assert abstract == spec(initial(case))


@over_all
def test_init_from_a_spec_equals_init_from_an_array_bit_for_bit(case):
    assert_same(case.layer.init(jax.random.key(0), spec(case.x)), initial(case))


@over_layers
def test_the_same_key_gives_the_same_params_and_another_key_other_kernels(case):
    params, _ = case.layer.init(jax.random.key(1), case.x)
    assert_same(case.layer.init(jax.random.key(1), case.x)[0], params)
    others, _ = case.layer.init(jax.random.key(2), case.x)
    for (path, leaf), other in zip(
        jax.tree_util.tree_leaves_with_path(params), jax.tree.leaves(others), strict=True
    ):
        if path[-1].key in ("kernel", "embedding"):
            assert not (np.asarray(leaf) == np.asarray(other)).any()


@over_all
def test_layers_without_params_or_state_leave_no_entry(case):
    def assert_no_empty(tree, top=True):
        if isinstance(tree, dict):
            assert top or tree
            for subtree in tree.values():
                assert_no_empty(subtree, top=False)

    for tree in initial(case):
        assert_no_empty(tree)


@over_all
def test_evaluation_needs_no_key_and_returns_the_state_unchanged(case):
    _, after = eager(case, train=False)
    assert_same(after, start(case)[1])


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
    _, state = start(case)
    _, after = eager(case, train=True)
    assert spec(after) == spec(state)
    for before, now in zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True):
        assert not np.array_equal(before, now)


@over_all
def test_jit_equals_eager(case):
    params, state = start(case)
    expected = [eager(case, train) for train in modes(case)]
    assert_close(compiled(case)(params, state, case.x), expected, 1e-6)


@over_all
def test_a_batch_equals_vmap_of_its_rows_in_evaluation(case):
    params, state = start(case)

    def one(row):
        return case.layer.apply(params, state, row[None])[0][0]

    assert_close(jax.jit(jax.vmap(one))(case.x), compiled(case)(params, state, case.x)[0][0], 1e-6)


@over_all
def test_a_training_step_can_be_the_body_of_a_scan(case):
    params, state = start(case)

    def body(state, x):
        y, state = case.layer.apply(params, state, x, key=jax.random.key(0), train=True)
        return state, y

    y, once = compiled(case)(params, state, case.x)[-1]
    _, twice = compiled(case)(params, once, case.x)[-1]
    final, ys = jax.jit(jax.lax.scan, static_argnums=0)(body, state, np.stack([case.x, case.x]))
    assert_close(final, twice, 1e-6)
    assert_close(ys[0], y, 1e-6)


@over_all
def test_numpy_arrays_are_accepted_like_jax_arrays(case):
    params, state, x = jax.tree.map(np.asarray, (*start(case), case.x))
    for train in modes(case):
        actual = case.layer.apply(params, state, x, key=jax.random.key(0), train=train)
        assert_close(actual, eager(case, train), 1e-6)


@pytest.mark.parametrize(
    "case", list(CASES.values())[:-1], ids=list(CASES)[:-1], scope="module"
)  # the last, scale_pixels, takes integers and has no params
def test_training_gradients_agree_with_finite_differences_to_second_order(case):
    train = case is not CASES["spectral_norm"]  # whose vectors are constants
    params, state = start(case)
    with jax.enable_x64(True):
        params, state, x = as_float64((params, state, case.x))
        floats = jnp.issubdtype(x.dtype, jnp.floating)

        def check(layer, forward):
            def output(inputs):
                params, x_or_none = inputs
                arguments = (params, state, x_or_none if floats else x)
                return layer.apply(*arguments, key=jax.random.key(0), train=train)[0]

            assert_derivatives(output, (params, x if floats else None), forward=forward)

        check(case.plain or case.layer, forward=True)
        if case.plain:
            check(case.layer, forward=False)  # its own backward pass has no forward mode


PLAIN = {name: case for name, case in CASES.items() if case.plain}


@pytest.mark.parametrize("case", PLAIN.values(), ids=PLAIN)
def test_the_default_lowering_equals_the_plain_one(case):
    params, state = start(case)
    plain = in_all_modes(case.plain, case)
    assert_close(compiled(case)(params, state, case.x), plain(params, state, case.x))
