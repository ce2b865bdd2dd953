"""A saved tree comes back bit for bit, and a save that fails leaves what was there."""

import os
import stat

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_same, normal
from safetensors import safe_open
from safetensors.numpy import save_file

from jaxnets import batch_norm, dense, serial
from jaxnets.interop import safetensors

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


def test_a_tree_comes_back_bit_for_bit(tmp_path):
    path = tmp_path / "tree.safetensors"
    safetensors.save(path, TREE)
    assert_same(safetensors.load(path), TREE)


def test_what_was_there_is_replaced(tmp_path):
    path = tmp_path / "tree.safetensors"
    safetensors.save(path, TREE)
    safetensors.save(path, {"w": jnp.ones(2)})
    assert_same(safetensors.load(path), {"w": jnp.ones(2)})
    assert list(tmp_path.iterdir()) == [path]


def test_numpy_arrays_are_saved_in_their_order_of_axes(tmp_path):
    path, array = tmp_path / "tree.safetensors", np.arange(6, dtype=np.float32).reshape(2, 3)
    safetensors.save(path, {"transposed": array.T})
    assert_same(safetensors.load(path), {"transposed": jnp.asarray(array.T)})


def test_tensors_go_by_their_path_beside_the_metadata(tmp_path):
    path = tmp_path / "tree.safetensors"
    safetensors.save(path, TREE, {"accuracy": "0.99"})
    with safe_open(path, "numpy") as file:
        assert {"params/fc1/kernel", "params/block/conv/kernel", "step"} <= set(file.keys())
        assert file.metadata() == {"accuracy": "0.99"}


def test_a_model_computes_the_same_from_what_comes_back(tmp_path):
    model, x = serial(("fc1", dense(4)), ("norm", batch_norm())), normal(5, 3)
    params, state = model.init(jax.random.key(0), x)
    safetensors.save(tmp_path / "model.safetensors", {"params": params, "state": state})
    found = safetensors.load(tmp_path / "model.safetensors")
    assert_same(model.apply(found["params"], found["state"], x), model.apply(params, state, x))


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


def test_others_may_read_a_saved_file_as_they_may_any_other(tmp_path):
    (tmp_path / "any").touch()
    safetensors.save(tmp_path / "tree.safetensors", TREE)
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize("parent", ["missing", "a file"])
def test_a_folder_that_cannot_be_written_is_the_systems_error(tmp_path, parent):
    (tmp_path / "a file").touch()
    with pytest.raises(OSError, match=parent):
        safetensors.save(tmp_path / parent / "tree.safetensors", TREE)
    assert [path.name for path in tmp_path.iterdir()] == ["a file"]


@pytest.mark.parametrize("content", [b"", b"\0" * 8, b"\xff" * 100])
def test_what_is_no_safetensors_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "tree.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"tree\.safetensors cannot be read as safetensors"):
        safetensors.load(path)


def test_a_leaf_beneath_a_leaf_is_refused(tmp_path):
    path = tmp_path / "tree.safetensors"
    save_file({"a": np.ones(1), "a/b/c": np.ones(2)}, path)
    with pytest.raises(ValueError, match=r"'a/b/c' lies under 'a', which is an array"):
        safetensors.load(path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        safetensors.load(tmp_path / "pipe")
