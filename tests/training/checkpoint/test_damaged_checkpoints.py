"""Damaged checkpoints are never loaded: a thousand flipped bits, and truncation at any byte."""

import os
import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.training import CheckpointError, Checkpoints

TREE = {"fc1": {"kernel": jnp.ones((3, 4)), "bias": jnp.zeros(4)}, "step": jnp.int32(7)}


@pytest.fixture
def path(tmp_path):
    """A valid checkpoint of step 1."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, TREE, {"seed": 0}, score=0.5)
    return tmp_path / "step-00000001.safetensors"


def refusal(path):
    """The message of the error that restoring the file raises."""
    message = r"step-00000001\.safetensors cannot be read"
    with pytest.raises(CheckpointError, match=message) as raised:
        Checkpoints(path.parent).restore(TREE, step=1)
    return str(raised.value)


def test_each_of_a_thousand_flipped_bits_is_refused(path):
    intact, rng = path.read_bytes(), np.random.default_rng(0)
    for bit in rng.choice(8 * len(intact), 1000, replace=False):
        content = bytearray(intact)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        refusal(path)
    path.write_bytes(intact)
    assert Checkpoints(path.parent).restore(TREE).step == 1


def test_a_flipped_bit_in_the_data_is_refused_with_both_checksums(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "its SHA-256 is" in refusal(path)


def test_a_file_truncated_at_any_byte_is_refused(path):
    intact, rng = path.read_bytes(), np.random.default_rng(0)
    for length in rng.choice(len(intact), min(1000, len(intact)), replace=False):
        path.write_bytes(intact[:length])
        refusal(path)


def test_bytes_after_the_end_are_refused(path):
    path.write_bytes(path.read_bytes() + b"\0")
    refusal(path)


def test_a_header_that_claims_a_size_beyond_the_file_allocates_nothing(path):
    rest = path.read_bytes()[8:]
    for claim in (2**63, 2**40, 2**31, len(rest) + 1):
        path.write_bytes(claim.to_bytes(8, "little") + rest)
        tracemalloc.start()
        assert f"says that its header has {claim}" in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.stop()


def test_a_file_far_larger_than_it_should_be_is_hashed_in_pieces(path):
    os.truncate(path, 2**26)  # a sparse file: zeros after the end that take no space
    tracemalloc.start()
    refusal(path)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()


def test_names_of_leaves_in_a_file_are_escaped_in_messages(tmp_path):
    tree = {"\x1b[2J": jnp.ones(1)}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, tree, {})
    with pytest.raises(CheckpointError, match="does not fit") as raised:
        Checkpoints(tmp_path).restore(TREE)
    assert all(line.isprintable() for line in str(raised.value).split("\n"))


def test_a_checkpoint_with_nan_in_its_metadata_and_score_is_restored(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, TREE, {"loss": float("nan"), "best": float("inf")}, score=float("nan"))
    metadata = Checkpoints(tmp_path).restore(TREE).metadata
    assert np.isnan(metadata["loss"]) and metadata["best"] == float("inf")


def test_pipes_folders_and_devices_are_refused_without_blocking(path):
    for make in (os.mkfifo, os.mkdir, lambda name: os.symlink("/dev/zero", name)):
        path.unlink() if path.is_symlink() or not path.is_dir() else path.rmdir()
        make(path)
        refusal(path)
