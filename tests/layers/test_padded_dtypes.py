"""The laws of padded batches in bfloat16 and float64, with any lengths and values."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, assert_same, examples
from hypothesis import given, settings
from hypothesis import strategies as st
from test_padded_laws import FEATURES, JUNK, LAYERS, TIME, WEIGHTS, start, valid

from jaxnets import Padded

ROWS = 3  # in other dtypes; every layer has one program in each
IN_OTHER_DTYPES = ["simple_rnn", "lstm", "gru", "bidirectional"]
IN_OTHER_DTYPES += ["conv with strides", "batch_norm", "max_pool SAME", "avg_pool SAME"]
over_other_dtypes = pytest.mark.parametrize("dtype", ["bfloat16", "float64"])


@cache
def program_of_params(name):
    """A program of (params, values, lengths): the output, and the gradients of its weighted sum."""

    @jax.jit
    def run(params, values, lengths):
        def total(params, values):
            y, _ = LAYERS[name].apply(params, start(name)[1], Padded(values, lengths))
            array = y.values if isinstance(y, Padded) else y
            weights = WEIGHTS[:ROWS, : array.shape[1], : array.shape[-1]]
            weights = weights if array.ndim == 3 else WEIGHTS[:ROWS, 0, : array.shape[-1]]
            return (array * weights.astype(array.dtype)).sum(), y

        gradients, y = jax.grad(total, (0, 1), has_aux=True)(params, values)
        return y, gradients

    return run


def run_in(dtype, name, values, lengths, junk=0.0):
    """A run in a dtype, on values that bfloat16 has; the results as NumPy arrays."""
    with jax.enable_x64(dtype == "float64"):
        near, dtype = jnp.bfloat16, jnp.dtype(dtype)
        params = jax.tree.map(lambda p: np.asarray(p).astype(near).astype(dtype), start(name)[0])
        x = np.where(valid(lengths), values, np.float32(junk)).astype(near).astype(dtype)
        y, gradients = program_of_params(name)(params, x, np.array(lengths, np.int32))
        return jax.tree.map(np.asarray, (y, gradients))


def some_values(seed):
    return np.abs(np.random.default_rng(seed).normal(size=(ROWS, TIME, FEATURES))) + 0.5


lengths_of_3 = st.lists(st.integers(0, TIME), min_size=ROWS, max_size=ROWS)


@over_other_dtypes
@pytest.mark.parametrize("name", IN_OTHER_DTYPES)
@settings(examples, max_examples=6)
@given(lengths=lengths_of_3, junk=st.sampled_from(JUNK), seed=st.integers(0, 99))
def test_in_other_dtypes_too_padding_changes_nothing(name, dtype, lengths, junk, seed):
    values = some_values(seed)
    y, gradients = run_in(dtype, name, values, lengths, junk)
    assert_same((y, gradients), run_in(dtype, name, values, lengths))
    floats = [leaf for leaf in jax.tree.leaves((y, gradients)) if leaf.dtype != np.int32]
    assert all(leaf.dtype == dtype and np.isfinite(leaf).all() for leaf in floats)


@pytest.mark.parametrize("name", IN_OTHER_DTYPES)
@settings(examples, max_examples=5)
@given(lengths=lengths_of_3, others=lengths_of_3, seed=st.integers(0, 99))
def test_a_row_does_not_depend_on_the_other_rows(name, lengths, others, seed):
    values, other_values = some_values(seed), some_values(seed + 100)
    other_values[0], others[0] = values[0], lengths[0]
    y, (_, by_values) = run_in("float64", name, values, lengths, np.nan)
    z, (_, by_other_values) = run_in("float64", name, other_values, others, np.nan)
    rows = [a.values[0] if isinstance(a, Padded) else a[0] for a in (y, z)]
    assert_close((rows[0], by_values[0]), (rows[1], by_other_values[0]), 1e-12)


@pytest.mark.parametrize("name", IN_OTHER_DTYPES)
@settings(examples, max_examples=5)
@given(lengths=lengths_of_3, seed=st.integers(0, 99))
def test_bfloat16_is_near_float64_in_outputs_and_gradients(name, lengths, seed):
    """Within 2**-6 of the largest value of each array; bfloat16 has 8 significant bits."""
    values = some_values(seed)
    half = run_in("bfloat16", name, values, lengths, np.nan)
    assert_close(half, run_in("float64", name, values, lengths, np.nan), 2.0**-6)
