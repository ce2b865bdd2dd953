"""Weights that do not fit a layer are refused, all at once."""

import jax
import numpy as np
import pytest
from helpers import assert_same, normal

from jaxnets import LayerError, dense, gru, last_step, serial
from jaxnets.interop import flax, keras, safetensors, torch

MODEL = serial(("rnn", gru(4)), last_step, ("head", dense(2)))
X = normal(2, 5, 3)
SHAPES = {"weight_ih_l0": (12, 3), "weight_hh_l0": (12, 4), "bias_ih_l0": (12,)}
SHAPES |= {"bias_hh_l0": (12,)}
STATE_DICT = {f"rnn.{name}": np.ones(shape, np.float32) for name, shape in SHAPES.items()}
STATE_DICT |= {"head.weight": np.ones((2, 4), np.float32), "head.bias": np.ones(2, np.float32)}


def test_everything_that_does_not_fit_is_listed_at_once():
    wrong = STATE_DICT | {"head.weight": np.ones((3, 4), np.float32), "norm.weight": np.ones(3)}
    del wrong["rnn.bias_hh_l0"]
    with pytest.raises(LayerError) as error:
        torch.load(wrong, MODEL, X)
    for problem in (
        "head/kernel is (4, 3) and should be (4, 2)",
        "norm/weight is not in the model",
        "rnn/bias is missing",
        "rnn/recurrent_bias is missing",
    ):
        assert problem in str(error.value)


WRONG = {
    "a tuple": (dict(flattened=(5, 6)), r"flattened as a dict, but got \(5, 6\); write"),
    "no name": (dict(names=lambda module: None), "the path of a layer, but got None for 'rnn'"),
    "no layer": (dict(layer=len), "expects a layer and an example input, but got a builtin_fu"),
    "no input": (dict(x=None), "but got a Layer and a NoneType; pass load"),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_refused_in_one_line(wrong, message):
    with pytest.raises(LayerError, match=message) as error:
        torch.load(**({"weights": STATE_DICT, "layer": MODEL, "x": X} | wrong))
    assert "\n" not in str(error.value)


def test_a_state_dict_may_be_a_safetensors_file(tmp_path):
    safetensors.save(tmp_path / "weights.safetensors", STATE_DICT)
    loaded = torch.load(
        tmp_path / "weights.safetensors", MODEL, jax.ShapeDtypeStruct(X.shape, X.dtype)
    )
    assert_same(loaded, torch.load(STATE_DICT, MODEL, X))


@pytest.mark.parametrize("module", [torch, keras, flax])
def test_what_is_not_weights_is_refused(module):
    with pytest.raises(LayerError, match="expects a dict of arrays by name or the path of"):
        module.load(3, MODEL, X)
    with pytest.raises(LayerError, match=r"expects arrays of numbers, but got \['a'\]"):
        module.load({"a": "b"}, MODEL, X)


def test_a_damaged_safetensors_file_is_refused_as_an_error_of_the_layer(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"no header")
    for library in (flax, keras):
        with pytest.raises(LayerError, match=r"weights\.safetensors cannot be read"):
            library.load(path, MODEL, jax.ShapeDtypeStruct(X.shape, X.dtype))
