"""Saving and loading trees as safetensors: exact, atomic, and with checks."""

import json
import os
import stat
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_same, normal
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from jaxnets import batch_norm, dense, serial
from jaxnets.interop import safetensors
from jaxnets.tensors import DTYPES

TREE = {
    "params": {
        "fc1": {"kernel": normal(3, 4), "bias": normal(4, seed=1).astype(jnp.bfloat16)},
        "block": {"conv": {"kernel": normal(2, 2, 1, 3, seed=2).astype(jnp.float16)}},
    },
    "counts": jnp.array([1, -2, 2**31 - 1], jnp.int32),
    "pixels": jnp.arange(256, dtype=jnp.uint8).reshape(16, 16),
    "mask": jnp.array([[True], [False]]),
    "step": jnp.int32(7),
    "none": jnp.zeros((0, 3)),
    "odd": jnp.array([jnp.nan, jnp.inf, -0.0, 1e-45]),
}


def test_saving_and_loading_preserves_every_bit(tmp_path):
    path = tmp_path / "tree.safetensors"
    safetensors.save(path, TREE)
    assert_same(safetensors.load(path), TREE)


@pytest.mark.parametrize(
    "tree", [{}, {"state": {}, "params": {"w": jnp.ones(2)}}, {"a": {"b": {}, "c": {"d": {}}}}]
)
def test_empty_parts_come_back_too(tmp_path, tree):
    safetensors.save(tmp_path / "tree.safetensors", tree, {"note": "1"})
    assert_same(safetensors.load(tmp_path / "tree.safetensors"), tree)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ('["w"]', "an empty dict has the path of an array"),
        ('["w/a"]', "'w/a' has the parent 'w', which is an array"),
        ('["a", "a/b"]', "'a/b' has the parent 'a', which is an array or an empty dict"),
        ('["a", "a"]', "has a path twice"),
        ('{"a": 1}', "its jaxnets.empty is not a list of paths"),
        ("[1]", "its jaxnets.empty is not a list of paths"),
        ("[", "Expecting value"),
    ],
)
def test_wrong_empty_parts_are_refused(tmp_path, entry, message):
    path = tmp_path / "tree.safetensors"
    save_file({"w": np.ones(2)}, path, metadata={"jaxnets.empty": entry})
    with pytest.raises(ValueError, match=message):
        safetensors.load(path)


def test_an_existing_file_is_replaced(tmp_path):
    path = tmp_path / "tree.safetensors"
    safetensors.save(path, TREE)
    safetensors.save(path, {"w": jnp.ones(2)})
    assert_same(safetensors.load(path), {"w": jnp.ones(2)})
    assert list(tmp_path.iterdir()) == [path]


def test_transposed_numpy_arrays_are_saved_with_their_axes(tmp_path):
    path, array = tmp_path / "tree.safetensors", np.arange(6, dtype=np.float32).reshape(2, 3)
    safetensors.save(path, {"transposed": array.T})
    assert_same(safetensors.load(path), {"transposed": jnp.asarray(array.T)})


def test_tensors_are_named_by_path_and_metadata_is_saved(tmp_path):
    path = tmp_path / "tree.safetensors"
    safetensors.save(path, TREE, {"accuracy": "0.99"})
    with safe_open(path, "numpy") as file:
        assert {"params/fc1/kernel", "params/block/conv/kernel", "step"} <= set(file.keys())
        assert file.metadata() == {"accuracy": "0.99"}


def test_a_model_with_loaded_params_has_the_same_outputs(tmp_path):
    model, x = serial(("fc1", dense(4)), ("norm", batch_norm())), normal(5, 3)
    params, state = model.init(jax.random.key(0), x)
    safetensors.save(tmp_path / "model.safetensors", {"params": params, "state": state})
    actual = safetensors.load(tmp_path / "model.safetensors")
    assert_same(model.apply(actual["params"], actual["state"], x), model.apply(params, state, x))


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(monkeypatch, tmp_path, step):
    path = tmp_path / "tree.safetensors"
    safetensors.save(path, {"w": jnp.ones(2)})

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched, pytest.raises(OSError, match="No space left"):
        patched.setattr(os, step, fail)
        safetensors.save(path, TREE)
    assert_same(safetensors.load(path), {"w": jnp.ones(2)})
    assert list(tmp_path.iterdir()) == [path]


def test_a_saved_file_has_the_default_permissions(tmp_path):
    (tmp_path / "any").touch()
    safetensors.save(tmp_path / "tree.safetensors", TREE)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize("parent", ["missing", "a file"])
def test_a_folder_that_is_not_writable_is_an_os_error(tmp_path, parent):
    (tmp_path / "a file").touch()
    with pytest.raises(OSError, match=parent):
        safetensors.save(tmp_path / parent / "tree.safetensors", TREE)
    assert [path.name for path in tmp_path.iterdir()] == ["a file"]


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"\xff" * 100])
def test_an_invalid_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "tree.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"tree\.safetensors cannot be read as safetensors"):
        safetensors.load(path)


def test_an_array_with_an_array_as_its_parent_is_refused(tmp_path):
    path = tmp_path / "tree.safetensors"
    save_file({"a": np.ones(1), "a/b/c": np.ones(2)}, path)
    with pytest.raises(ValueError, match=r"'a/b/c' has the parent 'a', which is an array"):
        safetensors.load(path)


def test_a_pipe_is_refused_without_blocking(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        safetensors.load(tmp_path / "pipe")


WIDE = {
    "int64": np.array([2**40 + 5, -(2**63)]),
    "uint64": np.array([2**64 - 1], np.uint64),
    "float64": np.array([1e300, 0.1, 5e-324]),
    "0-d": np.float64(1e300),
    "empty": np.zeros((0, 3), np.int64),
}


def test_64_bit_arrays_are_saved_and_loaded_unchanged(tmp_path):
    """Without x64, JAX does not have these dtypes, so they stay NumPy arrays."""
    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    safetensors.save(ours, WIDE)
    save_file({name: np.asarray(array) for name, array in WIDE.items()}, theirs)
    for path in (ours, theirs):
        actual = safetensors.load(path)
        assert all(isinstance(array, np.ndarray) for array in actual.values())
        assert_same(actual, {name: np.asarray(array) for name, array in WIDE.items()})
    assert {name: a.tobytes() for name, a in load_file(ours).items()} == {
        name: np.asarray(a).tobytes() for name, a in WIDE.items()
    }


def test_with_x64_enabled_64_bit_arrays_are_jax_arrays(tmp_path):
    safetensors.save(tmp_path / "wide.safetensors", WIDE)
    with jax.enable_x64(True):
        actual = safetensors.load(tmp_path / "wide.safetensors")
        assert all(isinstance(array, jax.Array) for array in actual.values())
        assert actual["int64"][0] == 2**40 + 5 and actual["float64"][0] == 1e300


@pytest.mark.parametrize("dtype", sorted(DTYPES))
@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (3, 2)])
def test_every_dtype_and_shape_is_preserved(tmp_path, dtype, shape):
    bits = np.random.default_rng(0).integers(0, 2, (*shape, jnp.dtype(dtype).itemsize), np.uint8)
    array = bits.view(jnp.dtype(dtype)).reshape(shape)
    safetensors.save(tmp_path / "a.safetensors", {"a": array})
    actual = safetensors.load(tmp_path / "a.safetensors")["a"]
    assert (actual.dtype, actual.shape) == (array.dtype, array.shape)
    assert np.asarray(actual).tobytes() == array.tobytes()


def test_big_endian_arrays_are_saved_with_their_values(tmp_path):
    safetensors.save(tmp_path / "a.safetensors", {"a": np.array([1.5, 2.5], ">f4")})
    assert load_file(tmp_path / "a.safetensors")["a"].tolist() == [1.5, 2.5]


def test_python_numbers_get_the_default_dtypes_of_jax(tmp_path):
    safetensors.save(tmp_path / "a.safetensors", {"i": 7, "f": 0.1, "b": True, "n": np.int64(7)})
    actual = load_file(tmp_path / "a.safetensors")
    assert {name: array.dtype.name for name, array in actual.items()} == {
        **{"i": "int32", "f": "float32", "b": "bool", "n": "int64"},
    }


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"a": 2**40 + 5}, "'a' is 1099511627781, which does not fit in int32; .*numpy.asarray"),
        ({"a": 1e300}, r"'a' is 1e\+300, which does not fit in float32"),
        ({"a": [np.ones(2)]}, "'a' is a list; convert lists"),
        ({"a": {"b": None}}, "'a/b' is a NoneType; .*leave None out"),
        ({"a": "text"}, "'a' is a str"),
        ({"a": np.array([object()])}, "got {'a': 'object'}; cast"),
        ({"a": np.array(["x"])}, "got {'a': '<U1'}; cast"),
        ({3: np.ones(1)}, "names of arrays must be strings, but got 3"),
        ({"a/b": np.ones(1), "a": {"b": np.ones(2)}}, "two arrays have the path 'a/b'"),
        ({"__metadata__": np.ones(1)}, "reserves the name '__metadata__'"),
    ],
)
def test_unsupported_values_are_refused_in_one_line_and_nothing_is_written(tmp_path, tree, message):
    with pytest.raises(ValueError, match=message) as raised:
        safetensors.save(tmp_path / "a.safetensors", tree)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_metadata_that_is_not_a_string_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"strings as metadata, but got {'epoch': 3}; use str"):
        safetensors.save(tmp_path / "a.safetensors", {"a": np.ones(1)}, {"epoch": 3})


@pytest.mark.parametrize("depth", [100, 16_000])
def test_a_name_that_is_too_deep_is_refused_quickly(tmp_path, depth):
    path = tmp_path / "deep.safetensors"
    save_file({"/".join("a" * depth) + "/b": np.ones(1)}, path)
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"deep\.safetensors .*at least 100 levels deep"):
        safetensors.load(path)
    assert time.monotonic() - began < 1
    save_file({"/".join("a" * 99) + "/b": np.ones(1)}, path)
    assert safetensors.load(path)


def test_names_and_dtypes_from_a_file_are_escaped_in_messages(tmp_path):
    path = tmp_path / "a\x1b[2J\n.safetensors"
    save_file({"a\x1b]0;x\x07": np.ones(1), "a\x1b]0;x\x07/b": np.ones(1)}, path)
    with pytest.raises(ValueError, match="which is an array") as raised:
        safetensors.load(path)
    assert str(raised.value).isprintable()
    header = json.dumps({"a": {"dtype": "\x1b[2J", "shape": [0], "data_offsets": [0, 0]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ValueError, match="cannot be read") as raised:
        safetensors.load(path)
    assert str(raised.value).isprintable()


def test_booleans_with_bytes_other_than_0_and_1_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"a": np.array([True, False])}, path)
    path.write_bytes(path.read_bytes()[:-1] + b"\x02")
    with pytest.raises(ValueError, match="booleans has bytes other than 0 and 1"):
        safetensors.load(path)
