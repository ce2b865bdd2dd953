"""Weights that fit pass, and those that do not are listed."""

import jax
import jax.numpy as jnp
import pytest

from jaxnets import LayerError, dense, serial
from jaxnets.inspect import check_names

MODEL = serial(("fc1", dense(4)), ("head", dense(2)))
PARAMS, _ = MODEL.init(jax.random.key(0), jnp.ones((1, 3)))
SHAPES, _ = jax.eval_shape(MODEL.init, jax.random.key(0), jnp.ones((1, 3)))


def test_a_model_s_own_weights_fit():
    check_names(PARAMS, SHAPES)


def test_every_name_that_is_missing_too_many_or_of_another_shape_is_listed():
    weights = {"fc1": {"kernel": jnp.ones((3, 5)), "bias": jnp.ones(4)}, "fc2": {"bias": 0.0}}
    with pytest.raises(LayerError) as caught:
        check_names(weights, SHAPES)
    assert str(caught.value).splitlines()[1:] == [
        "  fc1/kernel is (3, 5) and should be (3, 4)",
        "  fc2/bias is not in the model",
        "  head/bias is missing",
        "  head/kernel is missing",
    ]
