"""No damaged checkpoint is ever loaded: a thousand flipped bits, and a cut at every byte."""

import os
import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets.training import CheckpointError, Checkpoints

TREE = {"fc1": {"kernel": jnp.ones((3, 4)), "bias": jnp.zeros(4)}, "step": jnp.int32(7)}


@pytest.fixture
def path(tmp_path):
    """One whole checkpoint of step 1."""
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, TREE, {"seed": 0}, score=0.5)
    return tmp_path / "step-00000001.safetensors"


def refusal(path):
    """What is said of the file in the place of the checkpoint."""
    with pytest.raises(CheckpointError, match=r"step-00000001\.safetensors cannot be read") as told:
        Checkpoints(path.parent).restore(TREE, step=1)
    return str(told.value)


def test_of_a_thousand_flipped_bits_every_one_is_refused(path):
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for bit in rng.choice(8 * len(whole), 1000, replace=False):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        refusal(path)
    path.write_bytes(whole)
    assert Checkpoints(path.parent).restore(TREE).step == 1


def test_a_flipped_bit_in_the_data_is_refused_with_both_sums(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "its SHA-256 is" in refusal(path)


def test_a_file_cut_short_at_any_byte_is_refused(path):
    whole = path.read_bytes()
    for length in np.random.default_rng(0).choice(len(whole), min(1000, len(whole)), replace=False):
        path.write_bytes(whole[:length])
        refusal(path)


def test_bytes_after_the_end_are_refused(path):
    path.write_bytes(path.read_bytes() + b"\0")
    refusal(path)


def test_a_header_that_claims_more_than_there_is_allocates_nothing(path):
    rest = path.read_bytes()[8:]
    for claim in (2**63, 2**40, 2**31, len(rest) + 1):
        path.write_bytes(claim.to_bytes(8, "little") + rest)
        tracemalloc.start()
        assert f"claims {claim}" in refusal(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
        tracemalloc.stop()


def test_a_file_far_larger_than_it_should_be_is_hashed_in_pieces(path):
    os.truncate(path, 2**26)  # a sparse file: what follows the end is zeros that take no space
    tracemalloc.start()
    refusal(path)
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()


def test_the_names_of_leaves_in_a_file_reach_no_terminal_raw(tmp_path):
    wild = {"\x1b[2J": jnp.ones(1)}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, wild, {})
    with pytest.raises(CheckpointError, match="does not fit") as raised:
        Checkpoints(tmp_path).restore(TREE)
    assert all(line.isprintable() for line in str(raised.value).split("\n"))


def test_a_checkpoint_with_nan_in_its_metadata_and_score_is_restored(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, TREE, {"loss": float("nan"), "best": float("inf")}, score=float("nan"))
    metadata = Checkpoints(tmp_path).restore(TREE).metadata
    assert np.isnan(metadata["loss"]) and metadata["best"] == float("inf")


def test_what_is_no_file_is_refused_and_not_waited_for(path):
    for make in (os.mkfifo, os.mkdir, lambda name: os.symlink("/dev/zero", name)):
        path.unlink() if path.is_symlink() or not path.is_dir() else path.rmdir()
        make(path)
        refusal(path)
