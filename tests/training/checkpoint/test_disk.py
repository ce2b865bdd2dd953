"""Earlier checkpoints stay valid if the disk is full or the process is killed."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import jax.numpy as jnp
import pytest
from helpers import assert_same
from states import steps

from jaxnets.training import CheckpointError, Checkpoints
from jaxnets.training.checkpoint import file as checkpoint_file

TREE = {"x": jnp.arange(3.0)}
LARGE = {"x": jnp.zeros(2**19)}  # 2 MB


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one megabyte, where one may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user may not mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_files():
    """Limit the size of files to one megabyte."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def assert_large_save_fails(folder, reason):
    """Saving a large checkpoint fails and leaves no file; small ones before and after succeed."""
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(1, TREE, {})
        checkpoints.save(2, LARGE, {})
        with pytest.raises(
            CheckpointError, match=rf"step-00000002\S* could not .*{reason}"
        ) as raised:
            checkpoints.wait()
        assert isinstance(raised.value.__cause__, OSError)
        assert [path.name for path in folder.iterdir()] == ["step-00000001.safetensors"]
        checkpoints.save(3, TREE, {})
    for step in (1, 3):
        assert_same(Checkpoints(folder).restore(TREE, step=step).tree, TREE)


def test_a_full_disk_leaves_earlier_checkpoints_and_no_partial_one(small_disk):
    assert_large_save_fails(small_disk, "No space left on device")


def test_a_limit_on_file_sizes_leaves_earlier_checkpoints_and_no_partial_one(tmp_path, small_files):
    assert_large_save_fails(tmp_path, "File too large")


def test_a_read_only_folder_is_a_checkpoint_error_and_can_be_restored(small_disk):
    with Checkpoints(small_disk) as checkpoints:
        checkpoints.save(1, TREE, {})
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    checkpoints = Checkpoints(small_disk)
    checkpoints.save(2, TREE, {})
    with pytest.raises(CheckpointError, match="Read-only file system"):
        checkpoints.wait()
    assert checkpoints.restore(TREE).step == 1


def test_a_file_in_place_of_the_folder_is_a_checkpoint_error(tmp_path):
    (tmp_path / "run").touch()
    checkpoints = Checkpoints(tmp_path / "run")
    assert checkpoints.restore(TREE) is None
    with pytest.raises(CheckpointError, match=r"run.*could not be saved: .*File exists"):
        checkpoints.save(1, TREE, {})


def test_a_deleted_folder_is_an_error_and_is_not_created_again(tmp_path):
    folder = tmp_path / "run"
    checkpoints = Checkpoints(folder)
    checkpoints.save(1, TREE, {})
    checkpoints.wait()
    folder.rename(tmp_path / "elsewhere")
    checkpoints.save(2, TREE, {})
    with pytest.raises(CheckpointError, match="No such file or directory"):
        checkpoints.wait()
    assert not folder.exists()
    assert checkpoints.latest() is None
    assert Checkpoints(tmp_path / "elsewhere").restore(TREE).step == 1


@pytest.fixture
def failing(monkeypatch, tmp_path):
    """Checkpoints with a failed save that has not been raised yet."""
    checkpoints = Checkpoints(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda number: (_ for _ in ()).throw(OSError(5, "I/O error")))
        checkpoints.save(1, TREE, {})
        checkpoints._saving.exception()
    return checkpoints


def test_a_failure_is_raised_once_by_the_next_save_and_the_one_after_works(failing, tmp_path):
    with pytest.raises(CheckpointError, match="I/O error"):
        failing.save(2, TREE, {})
    failing.save(2, TREE, {})
    failing.wait()
    assert steps(tmp_path) == [2]


def test_a_failure_is_raised_at_the_end_of_the_block(failing):
    with pytest.raises(CheckpointError, match="I/O error"), failing:
        pass


def test_a_failure_is_added_as_a_note_to_the_current_exception(failing):
    with pytest.raises(KeyboardInterrupt) as raised, failing:
        raise KeyboardInterrupt
    assert "I/O error" in raised.value.__notes__[0]


def test_any_other_exception_is_raised_unchanged(monkeypatch, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    monkeypatch.setattr(checkpoint_file, "write", lambda *arguments: {}["no such"])
    checkpoints.save(1, TREE, {})
    with pytest.raises(KeyError, match="no such"):
        checkpoints.wait()


SAVER = """
import sys
import jax.numpy as jnp
from jaxnets.training import Checkpoints
first, stride = int(sys.argv[2]), int(sys.argv[3])
checkpoints = Checkpoints(sys.argv[1])
for step in range(first, first + 10_000 * stride, stride):
    checkpoints.save(step, {"x": jnp.full(2**16, step)}, {"step": step})
"""
TEMPLATE = {"x": jnp.zeros(2**16, jnp.int32)}


def test_two_processes_killed_while_saving_into_one_folder_leave_valid_checkpoints(tmp_path):
    # Mostly at different steps; both write every twelfth step.
    arguments = [("4", "4"), ("6", "6")]
    programs = [subprocess.Popen([sys.executable, "-c", SAVER, tmp_path, *a]) for a in arguments]
    deadline = time.monotonic() + 60
    while (Checkpoints(tmp_path).latest() or 0) < 120 and time.monotonic() < deadline:
        time.sleep(0.02)
    for program in programs:
        program.send_signal(signal.SIGKILL)
        program.wait()
    checkpoints = Checkpoints(tmp_path)
    assert not list(tmp_path.glob("*.tmp"))
    assert steps(tmp_path)
    for step in steps(tmp_path):
        tree, metadata, _ = checkpoints.restore(TEMPLATE, step=step)
        assert metadata == {"step": step}
        assert_same(tree, {"x": jnp.full(2**16, step)})
