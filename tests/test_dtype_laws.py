"""The rules of `jaxnets.dtypes`, for every public layer and function."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, as_float64, has_kernel
from helpers import assert_close, assert_same, normal
from results import compiled, draws, in_all_modes, modes, start

SELECTS = {"max_pool", "global_max_pool", "flatten", "pixel_shuffle"}  # without computing
SELECTS |= {"last_step", "max_over_time"}
TAKES_INTEGERS_ALONE = {"embedding", "bag_of_words"}
HALVES = ["bfloat16", "float16"]
INTEGERS = ["bool", "uint8", "int32"]

over_cases = pytest.mark.parametrize("name", CASES, scope="module")  # by case first


def returned(name, dtype):
    """The output dtype of a case with float32 params for an input of this dtype."""
    kind = name.split()[0]
    if has_kernel(CASES[name]):
        return jnp.dtype(jnp.float32)
    keeps = kind in SELECTS or jnp.issubdtype(dtype, jnp.floating)
    return jnp.dtype(dtype if keeps else jnp.float32)


def cast(x, dtype):
    """The case's input with values that every dtype can represent."""
    x = np.asarray(x)
    if jnp.issubdtype(x.dtype, jnp.integer):
        return x.astype(dtype)
    whole = np.abs(np.round(4 * x)) if jnp.dtype(dtype).kind in "bui" else x
    return whole.astype(dtype)


def cast_params(params, dtype):
    return jax.tree.map(lambda leaf: np.asarray(leaf).astype(dtype), params)


def dtypes_for(name):
    return ["uint8", "int32"] if name in TAKES_INTEGERS_ALONE else INTEGERS + HALVES


@over_cases
def test_the_result_is_the_float32_result_rounded_once(name):
    case, exact = CASES[name], jnp.int32 if name in TAKES_INTEGERS_ALONE else jnp.float32
    inputs = {dtype: cast(case.x, dtype) for dtype in dtypes_for(name)}

    @jax.jit
    def run(params, state, inputs):
        apply = in_all_modes(case.layer, case)
        return {dtype: apply(params, state, x) for dtype, x in inputs.items()}

    for dtype, actual in run(*start(case), inputs).items():
        expected = compiled(case)(*start(case), inputs[dtype].astype(exact))
        rounded = returned(name, dtype)
        expected = [(np.asarray(y).astype(rounded), state) for y, state in expected]
        assert_same(actual, expected)


@over_cases
def test_float64_is_computed_in_float64(name):
    case = CASES[name]
    floats = jnp.issubdtype(case.x.dtype, jnp.floating)
    expected = compiled(case)(*start(case), case.x)
    with jax.enable_x64(True):
        x = np.asarray(case.x, np.float64) * (1 + 2**-40) if floats else case.x
        actual = compiled(case)(*as_float64(start(case)), x)
        actual = jax.tree.map(np.asarray, actual)
    for train, in_64_bits, in_32_bits in zip(modes(case), actual, expected, strict=True):
        if floats or start(case)[0]:
            assert {leaf.dtype.name for leaf in jax.tree.leaves(in_64_bits)} == {"float64"}
            if name.split()[0] not in SELECTS | {"heaviside"} | TAKES_INTEGERS_ALONE:
                assert (in_64_bits[0] != in_64_bits[0].astype(np.float32)).any()
        if not (train and draws(case)):  # the random numbers differ in 64 bits
            assert_close(in_64_bits, in_32_bits, 2e-6)


def derivatives(case, state, inputs):
    """The gradients of a weighted sum of outputs for the params and, for floats, the input."""

    def of(params, x):
        def f(params, x):
            return case.layer.apply(params, state, x, key=jax.random.key(0), train=True)[0]

        y, pull = jax.vjp(f, params, x)
        by_params, by_x = pull(jnp.sign(normal(*y.shape, seed=3)).astype(y.dtype))
        return by_params, by_x if jnp.issubdtype(x.dtype, jnp.floating) else None

    return jax.jit(lambda inputs: [of(*each) for each in inputs])(inputs)


def joined(tree):
    """All leaves concatenated, since the errors of a leaf of zeros are relative to the others."""
    return np.concatenate([np.ravel(leaf).astype(np.float32) for leaf in jax.tree.leaves(tree)])


@pytest.mark.parametrize("name", list(CASES)[:-1], scope="module")  # scale_pixels takes integers
def test_bfloat16_derivatives_are_close_to_the_float32_ones(name):
    case = CASES[name]
    params, state = start(case)
    floats = jnp.issubdtype(case.x.dtype, jnp.floating)
    x = cast(case.x, jnp.bfloat16) if floats else case.x
    half = cast_params(params, jnp.bfloat16)
    exact = cast_params(half, jnp.float32)
    inputs = [(exact, x.astype(np.float32) if floats else x), (exact, x)]
    inputs += [(half, x)] if params else []
    expected, *others = derivatives(case, state, inputs)
    for arguments, actual in zip(inputs[1:], others, strict=True):
        dtypes = jax.tree.map(lambda leaf: leaf.dtype, actual)
        like = (arguments[0], x if floats else None)
        assert dtypes == jax.tree.map(lambda leaf: leaf.dtype, like)
        assert_close(joined(actual), joined(expected), 2**-5)


@over_cases
def test_casting_the_params_casts_the_network(name):
    case = CASES[name]
    params, state = start(case)
    half = cast_params(params, jnp.bfloat16)
    x = cast(case.x, jnp.bfloat16) if jnp.issubdtype(case.x.dtype, jnp.floating) else case.x
    apply = partial(case.layer.apply, key=jax.random.key(0), train=True)
    y, new_state = jax.eval_shape(apply, half, state, x)
    scales_bytes = name == "scale_pixels"
    assert y.dtype == (jnp.float32 if scales_bytes else jnp.bfloat16)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(new_state))
