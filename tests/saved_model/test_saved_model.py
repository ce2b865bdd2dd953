"""A saved model predicts as the model does, in any process, and keeps what was saved with it."""

import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, assert_same, eval_state, eval_step
from jax.nn import relu
from networks import NETWORKS

from jaxnets import (
    batch_norm,
    conv,
    dense,
    flatten,
    load_model,
    max_pool,
    models,
    save_model,
    scale_pixels,
    serial,
    stateless,
)
from jaxnets.models.recorded import model_call
from jaxnets.saved_model import ModelFileError, ModelFileWarning
from jaxnets.training import predict, predict_proba

MODEL = serial(
    scale_pixels(),
    ("conv", conv(4, (3, 3))),
    ("norm", batch_norm()),
    relu,
    max_pool((2, 2)),
    flatten,
    ("head", dense(3)),
)
x = np.random.default_rng(0).integers(0, 256, (9, 6, 6, 1)).astype(np.uint8)
PARAMS, STATE = jax.jit(MODEL.init)(jax.random.key(0), x)
CLASSES = ("ant", "bee", "cow")


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "animals.jaxnets"
    metadata = {"accuracy": 0.5, "notes": ["ö", None]}
    save_model(path, MODEL, eval_state(PARAMS, STATE), x, classes=CLASSES, metadata=metadata)
    return path


@pytest.fixture(scope="module")
def loaded(path):
    return load_model(path)


def test_predictions_are_those_of_the_model(loaded):
    train_step, train_state = eval_step(MODEL), eval_state(PARAMS, STATE)
    assert_close(loaded.predict_outputs(x), jax.jit(MODEL.apply)(PARAMS, STATE, x)[0])
    assert_close(loaded.predict_proba(x), predict_proba(train_step, train_state, x))
    expected = np.array(CLASSES)[predict(train_step, train_state, x)]
    np.testing.assert_array_equal(loaded.predict(x), expected)


def test_any_number_of_rows_gives_the_same_rows(loaded):
    outputs = loaded.predict_outputs(x)
    assert_close(loaded.predict_outputs(x[:1]), outputs[:1])
    many = np.concatenate([x] * 60)  # 540, more than a block
    assert_close(loaded.predict_outputs(many), np.concatenate([outputs] * 60))


def test_params_state_classes_and_metadata_come_back(loaded):
    assert_same((loaded.params, loaded.state), (PARAMS, STATE))
    assert loaded.classes == CLASSES
    assert loaded.metadata == {"accuracy": 0.5, "notes": ["ö", None]}
    assert loaded.versions["jax"] == jax.__version__
    assert repr(loaded).endswith("uint8 (n, 6, 6, 1); 3 classes; 159 parameters)")


def test_it_predicts_in_a_process_that_has_none_of_the_code(path, loaded, tmp_path):
    np.save(tmp_path / "x.npy", x)
    program = (
        "import sys, numpy as np; from jaxnets import load_model; "
        "print(*load_model(sys.argv[1]).predict(np.load(sys.argv[2])))"
    )
    command = [sys.executable, "-c", program, path, tmp_path / "x.npy"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.split() == [*loaded.predict(x)]


def test_the_file_is_a_safetensors_file_of_the_params_by_name(path):
    from safetensors.numpy import load_file

    arrays = load_file(path)
    np.testing.assert_array_equal(arrays["params/conv/kernel"], PARAMS["conv"]["kernel"])
    np.testing.assert_array_equal(arrays["state/norm/mean"], STATE["norm"]["mean"])


def test_the_model_can_be_given_instead_of_the_program(path, loaded, monkeypatch):
    monkeypatch.setattr(jax.export, "deserialize", None)  # is not called
    given = load_model(path, model=MODEL)
    assert_close(given.predict_outputs(x), loaded.predict_outputs(x))


def test_a_model_that_does_not_fit_is_refused_with_the_names(path):
    other = serial(flatten, ("head", dense(3)))
    with pytest.raises(ModelFileError, match=r"does not fit the model: .*params/conv/kernel"):
        load_model(path, model=other)
    with pytest.raises(ModelFileError, match="expects model as a Layer, but got a str"):
        load_model(path, model="cnn")


def refuse(*arguments):
    raise ValueError("StableHLO_v9.9.9 is not supported\nand more")


def test_a_program_that_is_refused_gives_one_line_and_still_the_params(path, monkeypatch):
    monkeypatch.setattr(jax.export, "deserialize", refuse)
    loaded = load_model(path)
    assert_same(loaded.params, PARAMS)
    message = (
        r"refuses \(StableHLO_v9.9.9 is not supported; it was written by jax .*\), and it is not "
        r"a model of jaxnets.models; load it with load_model\(path, model=...\)$"
    )
    with pytest.raises(ModelFileError, match=message):
        loaded.predict(x)


def test_a_model_of_the_library_is_built_again_with_a_warning(tmp_path, monkeypatch):
    model, rows = models.mlp((4, 3)), np.ones((2, 5), np.float32)
    params, state = jax.jit(model.init)(jax.random.key(0), rows)
    save_model(tmp_path / "mlp", model, (params, state), rows)
    monkeypatch.setattr(jax.export, "deserialize", refuse)
    loaded = load_model(tmp_path / "mlp")
    with pytest.warns(ModelFileWarning, match="refuses .*; built the model again from its name$"):
        outputs = loaded.predict_outputs(rows)
    assert_close(outputs, jax.jit(model.apply)(params, state, rows)[0])
    assert_close(loaded.predict_outputs(rows), outputs)  # without another warning


@pytest.mark.parametrize("name", NETWORKS)
def test_every_model_notes_its_name_and_arguments(name):
    arguments = NETWORKS[name].arguments
    assert model_call(getattr(models, name)(**arguments)) == (name, arguments)


def test_arguments_without_json_and_other_layers_have_no_name():
    assert model_call(models.mlp((3,), activation=jnp.tanh)) is None
    assert model_call(MODEL) is None
    assert model_call(models.mlp((3, 2))) == ("mlp", {"sizes": (3, 2)})


def test_a_single_logit_has_two_classes(tmp_path):
    model, rows = models.logistic(), np.array([[-2.0], [3.0]], np.float32)
    params = {"head": {"kernel": jnp.ones((1, 1)), "bias": jnp.zeros(1)}}
    save_model(tmp_path / "one", model, (params, {}), rows, classes=["no", "yes"])
    loaded = load_model(tmp_path / "one")
    assert loaded.predict(rows).tolist() == ["no", "yes"]
    assert_close(loaded.predict_proba(rows), 1 / (1 + np.exp([2.0, -3.0])))
    assert load_model(tmp_path / "one").predict([[1], [-1]]).tolist() == ["yes", "no"]
    assert loaded.state == {}


def test_a_model_without_classes_predicts_numbers(tmp_path):
    rows = np.eye(3, dtype=np.float32)
    identity = stateless(lambda key, x: {}, lambda params, x: x)
    save_model(tmp_path / "identity", identity, ({}, {}), rows)
    predictions = load_model(tmp_path / "identity").predict(rows)
    assert_same(predictions, np.arange(3, dtype=np.int32))


WRONG_INPUTS = {
    "floats": (x / 255, r"uint8 \(n, 6, 6, 1\), but got float64 .*pass uint8 as in training, with"),
    "no rows": (x[:0], "pass one row per example, at least one"),
    "one image": (x[0], r"but got uint8 \(6, 6, 1\); pass one row per example"),
    "another size": (x[:, :5], r"but got uint8 \(9, 5, 6, 1\)"),
    "beyond uint8": (x.astype(int) + 1, "but got 1 to 256; pass numbers as in training"),
    "strings": (["a"], "numbers"),
    "objects": (np.array([None]), "numbers"),
    "nothing": (None, "numbers"),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG_INPUTS.values(), ids=WRONG_INPUTS)
def test_inputs_that_do_not_fit_are_refused_in_one_line(loaded, wrong, message):
    with pytest.raises(ModelFileError, match=message) as raised:
        loaded.predict(wrong)
    assert "\n" not in str(raised.value) and "animals.jaxnets expects" in str(raised.value)


def test_8_bit_pixels_for_a_model_of_floats_are_refused(tmp_path):
    rows = np.ones((2, 3), np.float32)
    identity = stateless(lambda key, x: {}, lambda params, x: x)
    save_model(tmp_path / "floats", identity, ({}, {}), rows)
    loaded = load_model(tmp_path / "floats")
    with pytest.raises(ModelFileError, match=r"but got uint8 .*; scale them as in training, or sa"):
        loaded.predict(np.ones((2, 3), np.uint8))
    for accepted in (np.ones((2, 3)), np.ones((2, 3), int), [[1, 2, 3]]):
        assert loaded.predict_outputs(accepted).dtype == np.float32


BRANCHES = stateless(lambda key, x: {}, lambda params, x: x if x.shape[0] > 3 else -x)
TWO = stateless(lambda key, x: {}, lambda params, x: (x, x))
CALLBACK = stateless(
    lambda key, x: {}, lambda params, x: jax.pure_callback(np.sin, jax.typeof(x), x)
)
ROWS = np.ones((2, 3), np.float32)
CHOLESKY = stateless(lambda key, x: {}, lambda params, x: x @ jnp.linalg.cholesky(x.T @ x))
WRONG_SAVES = {
    "no layer": (dict(model=len), "expects a Layer, but got a builtin_function_or_method"),
    "no train state": (dict(train_state={}), r"or a pair \(params, state\), but got a dict"),
    "no rows": (dict(example=np.float32(1)), r"expects an example input with rows, \(n, ...\)"),
    "no example": (dict(example=None), "expects an example input with rows"),
    "branches": (dict(model=BRANCHES), "make its shapes and branches independent of x.shape"),
    "two outputs": (dict(model=TWO), r"one array \(n, ...\) as its output, but got the shapes"),
    "a callback": (dict(model=CALLBACK), "save_model expects a model .*call"),
    "LAPACK": (dict(model=CHOLESKY), "it calls .*lapack_spotrf_ffi, which other processes"),
    "no outputs": (
        dict(model=stateless(lambda key, x: {}, lambda params, x: x[:, :0])),
        "got the sh",
    ),
    "a float": (dict(train_state=({"w": 2.0}, {})), "but params/w is a float; convert numbers by"),
    "a list": (dict(train_state=({"w": [x]}, {})), "but params/w is a list; .*lists to dicts"),
    "a key": (dict(train_state=({"w": jax.random.key(0)}, {})), "of numbers, but params/w is a"),
    "float64": (
        dict(train_state=({"w": np.ones(3)}, {})),
        "params/w is float64; cast it to float32",
    ),
    "a list as metadata": (dict(metadata=[1]), r"expects metadata as a dict, but got \[1\]; give"),
    "a set": (dict(classes={"a", "b", "c"}), "expects classes as 3 names"),
    "no number": (dict(classes=[np.nan, 1, 2]), "expects classes as 3 names or numbers"),
    "few classes": (dict(classes=["a"]), "expects classes as 3 names or numbers, .*but got"),
    "a string": (dict(classes="abc"), "expects classes as 3 names or numbers, one per class"),
    "equal classes": (dict(classes=["a", "b", "a"]), "expects classes to differ"),
    "metadata": (dict(metadata={"a": np.ones(2)}), "that JSON can represent, .* convert arrays"),
    "preprocess": (dict(preprocess=np.sqrt), "preprocess as Pixels.* but got a ufunc; see regi"),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG_SAVES.values(), ids=WRONG_SAVES)
def test_wrong_arguments_are_refused_in_one_line(tmp_path, wrong, message):
    arguments = dict(
        model=stateless(lambda key, x: {}, lambda params, x: x), train_state=({}, {}), example=ROWS
    )
    with pytest.raises(ValueError, match=message) as raised:
        save_model(tmp_path / "wrong", **(arguments | wrong))
    assert "\n" not in str(raised.value)
    assert not [*tmp_path.iterdir()]
