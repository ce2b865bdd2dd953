"""Atomic writes and appends, and files that are not regular."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from jaxnets import files, locks
from jaxnets.files import atomic_append, atomic_write, regular_file, remove_stale, user_cache

LIMIT = 2**20  # bytes


@pytest.fixture
def small_files():
    """Limit the size of files that this process can write to `LIMIT` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_file_appears_complete_at_the_end_of_the_block(tmp_path):
    path = tmp_path / "file"
    with atomic_write(path) as file:
        file.write(b"all")
        assert not path.exists()
    assert path.read_bytes() == b"all"
    assert os.listdir(tmp_path) == ["file"]


def test_the_file_is_synced_then_renamed_and_the_folder_synced(monkeypatch, tmp_path):
    calls = []
    for name in ("fsync", "replace"):
        original = getattr(os, name)

        def note(first, *rest, name=name, original=original):
            is_folder = name == "fsync" and os.path.isdir(f"/proc/self/fd/{first}")
            calls.append(f"{name} folder" if is_folder else name)
            original(first, *rest)

        monkeypatch.setattr(os, name, note)
    with atomic_write(tmp_path / "file") as file:
        file.write(b"all")
    assert calls == ["fsync", "replace", "fsync folder"]


def test_an_exception_leaves_the_previous_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as file:
        file.write(b"new")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_two_writers_of_the_same_file_do_not_interfere(tmp_path):
    with atomic_write(tmp_path / "file") as first, atomic_write(tmp_path / "file") as second:
        first.write(b"first" * 100)
        second.write(b"second")
    assert (tmp_path / "file").read_bytes() == b"first" * 100


def test_remove_stale_removes_only_the_temporary_files_of_ended_processes(tmp_path):
    program = """
import os, sys
from jaxnets.files import atomic_write
with atomic_write(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    os._exit(9)
"""
    subprocess.run([sys.executable, "-c", program, tmp_path / "a.bin"], check=False)
    (tmp_path / "notes.tmp").touch()
    assert len(list(tmp_path.glob("a.bin.*.tmp"))) == 1
    with atomic_write(tmp_path / "b.bin"):
        remove_stale(tmp_path, "*.bin")
        assert [path.name[:5] for path in tmp_path.glob("*.bin*")] == ["b.bin"]
    assert sorted(os.listdir(tmp_path)) == ["b.bin", "notes.tmp"]


def test_a_temporary_file_removed_before_it_is_locked_is_created_again(monkeypatch, tmp_path):
    original, swept = locks.fcntl.flock, []

    def lock(file, operation):
        if not swept:
            swept.extend(tmp_path.iterdir())
            swept[0].unlink()
        original(file, operation)

    monkeypatch.setattr(locks.fcntl, "flock", lock)
    with atomic_write(tmp_path / "file") as file:
        file.write(b"all")
    assert swept
    assert (tmp_path / "file").read_bytes() == b"all"


def test_pipes_devices_and_folders_are_refused_without_blocking(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", tmp_path):
        with pytest.raises(OSError, match=r"not a regular file|Is a directory"), regular_file(path):
            pass


def test_a_disk_error_names_the_file_and_leaves_the_previous_one(tmp_path, small_files):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match=f"File too large: '{path}'"), atomic_write(path) as file:
        file.write(bytes(LIMIT + 1))
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_an_interrupt_is_not_hidden_by_a_full_disk(tmp_path, small_files):
    with pytest.raises(KeyboardInterrupt), atomic_write(tmp_path / "file") as file:
        file.raw.seek(LIMIT)
        file.write(b"left in the buffer")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_the_error_for_a_missing_folder_names_the_file(tmp_path):
    path = tmp_path / "missing" / "file"
    expected = pytest.raises(FileNotFoundError, match=f"No such file or directory: '{path}'$")
    with expected, atomic_write(path):
        pass


def test_a_change_of_the_working_directory_does_not_move_a_file(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    with atomic_write("file") as file, atomic_append("log") as append:
        monkeypatch.chdir(tmp_path / "elsewhere")
        file.write(b"all")
        append(b"line\n")
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "file", "log"]
    assert os.listdir(tmp_path / "elsewhere") == []


def test_a_partial_append_is_undone(tmp_path, small_files):
    path = tmp_path / "log"
    with atomic_append(path) as append:
        append(b"a line\n")
        assert path.read_bytes() == b"a line\n"
        with pytest.raises(OSError, match=f"File too large: '{path}'"):
            append(bytes(LIMIT + 1))
        append(b"another\n")
    assert path.read_bytes() == b"a line\nanother\n"


def test_an_error_of_an_append_names_the_file():
    with (
        atomic_append("/dev/full") as append,
        pytest.raises(OSError, match=r"No space .*/dev/full"),
    ):
        append(b"a line\n")


def test_without_a_home_folder_the_cache_needs_xdg_cache_home(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(OSError, match="no home folder; set XDG_CACHE_HOME"):
        user_cache()
    monkeypatch.setenv("XDG_CACHE_HOME", "caches")
    assert user_cache() == Path.cwd() / "caches" / "jaxnets"


def test_an_error_about_another_file_keeps_its_name(tmp_path):
    other = tmp_path / "missing"
    expected = pytest.raises(FileNotFoundError, match=f"'{other}'$")
    with expected, atomic_write(tmp_path / "file"):
        other.read_bytes()


def test_two_writers_with_the_same_temporary_name_do_not_share_it(monkeypatch, tmp_path):
    monkeypatch.setattr(files, "token_hex", lambda size: "0" * 2 * size)
    with atomic_write(tmp_path / "file") as first:
        first.write(b"first")
        with pytest.raises(FileExistsError), atomic_write(tmp_path / "file"):
            pass
    assert (tmp_path / "file").read_bytes() == b"first"
