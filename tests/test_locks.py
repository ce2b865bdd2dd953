"""A lock excludes other processes while its holder runs."""

import errno
import os
import subprocess
import sys

import pytest

from jaxnets import locks

HOLDER = """
import sys, time
from jaxnets.locks import hold
print(hold(sys.argv[1]), flush=True)
sys.stdin.read()
"""


def holder(path):
    """A process that tries to hold the lock until its stdin ends, and its answer."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, "-c", HOLDER, path], text=True, **pipes)
    return process, process.stdout.readline().strip()


def ended(process):
    process.communicate()
    return process.returncode


def test_one_of_two_processes_gets_the_lock_and_a_killed_one_loses_it(tmp_path):
    path = tmp_path / "lock"
    first, held = holder(path)
    assert held == "True"
    assert not locks.hold(path)
    second, held = holder(path)
    assert (held, ended(second)) == ("False", 0)
    first.kill()
    assert ended(first) == -9
    assert locks.hold(path)
    third, held = holder(path)
    assert (held, ended(third)) == ("False", 0)


def test_a_process_that_holds_a_lock_may_hold_it_again(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    assert [locks.hold(tmp_path / "lock") for _ in range(3)] == [True] * 3
    assert len(os.listdir("/proc/self/fd")) == before + 1


def test_a_lock_file_that_is_removed_and_created_again_has_a_new_lock(tmp_path):
    path = tmp_path / "lock"
    assert locks.hold(path)
    path.unlink()
    assert locks.hold(path)
    process, held = holder(path)
    assert (held, ended(process)) == ("False", 0)


def test_on_a_file_system_without_locks_a_warning_is_raised(monkeypatch, tmp_path):
    def no_locks(descriptor, operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks.fcntl, "flock", no_locks)
    with pytest.warns(UserWarning, match=r"lock cannot be locked \(No locks available\)"):
        assert locks.hold(tmp_path / "lock")


def test_a_file_that_cannot_be_created_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        locks.hold(tmp_path / "missing" / "lock")
