"""Inputs of models outside jit: accepted, or refused in one line with the cure."""

import jax
import numpy as np
import pytest
from helpers import assert_same, normal

from jaxnets import LayerError, batch_norm, dense, flatten, max_pool, serial

MODEL = serial(flatten, ("fc", dense(3)), ("norm", batch_norm()))
x = np.asarray(normal(4, 5))


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">f2", ">i4", ">u2", ">i8"])
def test_arrays_of_the_other_byte_order_are_accepted(dtype):
    swapped = np.round(4 * x).astype(dtype)
    native = swapped.astype(swapped.dtype.newbyteorder("="))
    params, state = MODEL.init(jax.random.key(0), swapped)
    assert_same((params, state), MODEL.init(jax.random.key(0), native))
    assert_same(MODEL.apply(params, state, swapped), MODEL.apply(params, state, native))


@pytest.mark.parametrize("layer", [dense(3), batch_norm()], ids=["dense", "batch_norm"])
def test_a_single_layer_accepts_them(layer):
    params, state = layer.init(jax.random.key(0), x)
    assert_same(layer.apply(params, state, x.astype(">f4")), layer.apply(params, state, x))


NO_NUMBERS = {
    "objects": (x.astype(object), "numbers, but got an array of object; use x.astype"),
    "strings": (np.array([["a"]]), "numbers, but got an array of <U1"),
    "dates": (np.array([["2020-01-01"]], "datetime64[D]"), "numbers, but got an array of datetime"),
    "a list": ([[1.0, 2.0]], r"arrays or jax.ShapeDtypeStruct, but got 1.0; use jnp.asarray"),
    "a string": ("digits", "arrays .* but got 'digits'; use"),
    "another's array": (type("Tensor", (), {"dtype": "float32"})(), "arrays .* but got a Tensor"),
}


@pytest.mark.parametrize(("wrong", "message"), NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_inputs_that_are_not_numbers_are_refused_with_the_cure(wrong, message):
    params, state = MODEL.init(jax.random.key(0), x)
    with pytest.raises(LayerError, match=f"^expected {message}"):
        MODEL.init(jax.random.key(0), wrong)
    with pytest.raises(LayerError, match=f"^expected {message}"):
        MODEL.apply(params, state, wrong)


def test_integers_that_jax_would_wrap_are_converted_or_refused():
    beyond = np.array([[2**40, 5], [1, 2]])
    params, state = serial(("fc", dense(3))).init(jax.random.key(0), beyond)
    y, _ = serial(("fc", dense(3))).apply(params, state, beyond)
    np.testing.assert_allclose(y, beyond @ np.asarray(params["fc"]["kernel"]), rtol=1e-5)
    message = r"pool: expected integers that fit int32, but got int64 from 1 to 1099511627776; cast"
    with pytest.raises(LayerError, match=message):
        serial(("pool", max_pool((2,)))).apply({}, {}, beyond[..., None])
    fits = np.array([[2**31 - 1, 5], [1, 2]])
    y, _ = serial(("pool", max_pool((2,)))).apply({}, {}, fits[..., None])
    np.testing.assert_array_equal(y[..., 0], [[2**31 - 1], [2]])
