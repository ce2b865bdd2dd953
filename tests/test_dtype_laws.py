"""The rules of `jaxnets.dtypes`, for every public layer and function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, as_float64, draws, has_kernel, in_both_modes, start
from helpers import assert_close, assert_same, normal

SELECTS = {"max_pool", "global_max_pool", "flatten", "pixel_shuffle"}  # without computing
SELECTS |= {"last_step", "max_over_time"}
TAKES_INTEGERS_ALONE = {"embedding", "bag_of_words"}
HALVES = ["bfloat16", "float16"]
INTEGERS = ["bool", "uint8", "int32"]

over_cases = pytest.mark.parametrize("name", CASES)


def returned(name, dtype):
    """The output dtype of a case with float32 params for an input of this dtype."""
    kind = name.split()[0]
    if has_kernel(CASES[name]):
        return jnp.dtype(jnp.float32)
    keeps = kind in SELECTS or jnp.issubdtype(dtype, jnp.floating)
    return jnp.dtype(dtype if keeps else jnp.float32)


def cast(x, dtype):
    """The case's input with values that every dtype can represent."""
    if jnp.issubdtype(x.dtype, jnp.integer):
        return x.astype(dtype)
    whole = jnp.abs(jnp.round(4 * x)) if jnp.dtype(dtype).kind in "bui" else x
    return whole.astype(dtype)


def dtypes_for(name):
    return ["uint8", "int32"] if name in TAKES_INTEGERS_ALONE else INTEGERS + HALVES


def applied(case, params, state, x, train=True):
    return case.layer.apply(params, state, x, key=jax.random.key(0), train=train)


@over_cases
@in_both_modes
def test_the_result_is_the_float32_result_rounded_once(name, train):
    case = CASES[name]
    params, state = start(case)
    exact = jnp.int32 if name in TAKES_INTEGERS_ALONE else jnp.float32
    inputs = {dtype: cast(case.x, dtype) for dtype in dtypes_for(name)}

    @jax.jit
    def run(inputs):
        return {d: applied(case, params, state, x, train) for d, x in inputs.items()}

    expected = run({dtype: x.astype(exact) for dtype, x in inputs.items()})
    for dtype, (y, new_state) in run(inputs).items():
        exact_y, exact_state = expected[dtype]
        assert_same((y, new_state), (exact_y.astype(returned(name, dtype)), exact_state))


@over_cases
@in_both_modes
def test_float64_is_computed_in_float64(name, train):
    case = CASES[name]
    params, state = start(case)
    floats = jnp.issubdtype(case.x.dtype, jnp.floating)

    @jax.jit
    def run(params, state, x):
        return applied(case, params, state, x, train)

    expected = run(params, state, case.x)
    with jax.enable_x64(True):
        x = case.x.astype(jnp.float64) * (1 + 2**-40) if floats else case.x
        actual = run(*as_float64((params, state)), x)
        actual = jax.tree.map(np.asarray, actual)
    if floats or params:
        assert {leaf.dtype.name for leaf in jax.tree.leaves(actual)} == {"float64"}
    if name.split()[0] not in SELECTS | {"heaviside"} | TAKES_INTEGERS_ALONE:
        assert (actual[0] != actual[0].astype(np.float32)).any() or not (floats or params)
    if not (train and draws(case)):  # the random numbers differ in 64 bits
        assert_close(actual, expected, 2e-6)


def derivatives(case, params, state, x):
    """The gradients of a weighted sum of outputs for the params and, for floats, the input."""

    @jax.jit
    def run(params, x):
        def f(params, x):
            return applied(case, params, state, x)[0]

        y, pull = jax.vjp(f, params, x)
        by_params, by_x = pull(jnp.sign(normal(*y.shape, seed=3)).astype(y.dtype))
        return by_params, by_x if jnp.issubdtype(x.dtype, jnp.floating) else None

    return run(params, x)


def joined(tree):
    """All leaves concatenated, since the errors of a leaf of zeros are relative to the others."""
    return np.concatenate([np.ravel(leaf).astype(np.float32) for leaf in jax.tree.leaves(tree)])


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"scale_pixels"}))
def test_bfloat16_derivatives_are_the_rounded_float32_ones(name):
    case = CASES[name]
    params, state = start(case)
    floats = jnp.issubdtype(case.x.dtype, jnp.floating)
    x = cast(case.x, jnp.bfloat16) if floats else case.x
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    exact = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), half)
    expected = derivatives(case, exact, state, x.astype(jnp.float32) if floats else x)
    for some in (exact, half):
        actual = derivatives(case, some, state, x)
        dtypes = jax.tree.map(lambda leaf: leaf.dtype, actual)
        assert dtypes == jax.tree.map(lambda leaf: leaf.dtype, (some, x if floats else None))
        assert_close(joined(actual), joined(expected), 2**-5)


@over_cases
def test_casting_the_params_casts_the_network(name):
    case = CASES[name]
    params, state = start(case)
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    x = cast(case.x, jnp.bfloat16) if jnp.issubdtype(case.x.dtype, jnp.floating) else case.x
    y, new_state = applied(case, half, state, x)
    scales_bytes = name == "scale_pixels"
    assert y.dtype == (jnp.float32 if scales_bytes else jnp.bfloat16)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(new_state))
