"""Training, saving and resuming on a simulated Windows.

The simulation runs in its own process: without fcntl and POSIX-only signals and flags, on a file
system where open files cannot be renamed or removed and folders cannot be opened, and with msvcrt's
locks, which exclude other descriptors from the locked bytes.
"""

import os
import subprocess
import sys
from pathlib import Path

import jaxnets

ROOT = Path(jaxnets.__file__).parents[1]
WINDOWS = """
import errno, fcntl, os, signal, sys, types
import jax, optax, orbax.checkpoint
from matplotlib.figure import Figure

flock, LOCK = fcntl.flock, fcntl.LOCK_EX | fcntl.LOCK_NB
sys.modules["fcntl"] = None
for name in ("O_NONBLOCK", "O_DIRECTORY", "fork", "register_at_fork", "sched_getaffinity"):
    delattr(os, name)
for name in ("SIGKILL", "SIGHUP"):
    delattr(signal, name)

def locking(descriptor, how, bytes):
    assert (how, bytes) == (2, 1)
    content = os.fstat(descriptor).st_size
    assert os.lseek(descriptor, 0, os.SEEK_CUR) > content, "a byte that others read is locked"
    try:
        flock(descriptor, LOCK)
    except BlockingIOError:
        raise PermissionError(errno.EACCES, "Permission denied") from None

sys.modules["msvcrt"] = types.SimpleNamespace(locking=locking, LK_NBLCK=2)

def refusing(usual):
    def call(*paths, **options):
        for number in os.listdir("/proc/self/fd"):
            try:
                name = os.readlink(f"/proc/self/fd/{number}")
            except OSError:
                continue
            if name in map(os.path.abspath, paths[:2]):
                raise PermissionError(errno.EACCES, "used by another process", name)
        return usual(*paths, **options)
    return call

os.replace, os.unlink = refusing(os.replace), refusing(os.unlink)
os_open = os.open

def open_file(path, *arguments, **options):
    if os.path.isdir(path):
        raise PermissionError(errno.EACCES, "Permission denied", path)
    assert not set(os.path.basename(path)) & set('<>:"|?*'), path
    return os_open(path, *arguments, **options)

os.open = open_file
"""
PROGRAM = """
from pathlib import Path
import numpy as np
from clouds import TRAIN, plain, run
from jaxnets import locks
from jaxnets.files import remove_stale, atomic_write
from jaxnets.interop import safetensors
from jaxnets.training import Checkpoints, Interrupted, RunError, json_lines
from experiments.folder import open_folder, write_figure
from jaxnets.training.report import write_json

assert not locks.POSIX

def interrupt(progress):
    signal.raise_signal(signal.SIGINT)

whole = run()
try:
    run(checkpoints=Checkpoints("saved"), report=interrupt)
except Interrupted:
    pass
with json_lines("log") as report:
    fitted = run(checkpoints=Checkpoints("saved"), resume=True, report=report)
same = jax.tree.map(np.array_equal, plain(fitted.train_state), plain(whole.train_state))
assert all(jax.tree.leaves(same))

for content in (1, 2):
    write_json(Path("x.json"), content)
    write_figure(Path("x.png"), Figure())
    safetensors.save("x.safetensors", {"x": np.arange(3.0)})
try:
    with atomic_write("x.json") as file:
        file.write(b"half")
        raise KeyError
except KeyError:
    pass
assert Path("x.json").read_text() == "2\\n"

for number in range(2):  # a dead writer's file is removed, and a running one's stays
    Path("dead.json.1-a.tmp").touch()
    with atomic_write("alive.json") as file:
        file.write(b"all")
        remove_stale(".", "*.json")
    assert not Path("dead.json.1-a.tmp").exists()
assert Path("alive.json").read_bytes() == b"all"

assert locks.hold("lock") and locks.hold("lock")
descriptor = os.open("lock", os.O_RDWR)
assert not locks.lock(descriptor)
os.write(descriptor, b"others may write what is locked")
assert not list(Path().glob("*.tmp"))
print("done")
"""


def test_a_system_without_fcntl_trains_saves_and_resumes(tmp_path):
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "training")])
    flags = os.environ["XLA_FLAGS"].replace("--xla_force_host_platform_device_count=2", "")
    environment = {**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    process = subprocess.run(
        [sys.executable, "-c", WINDOWS + PROGRAM],
        cwd=tmp_path,
        env=environment,
        text=True,
        capture_output=True,
    )
    assert (process.returncode, process.stdout, process.stderr) == (0, "done\n", "")
