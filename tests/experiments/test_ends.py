"""However a script ends, it prints one line, without a traceback, and sets the exit status."""

import ast
import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments import command_line
from experiments.folder import begin, write_figure
from jaxnets import data
from jaxnets.files import atomic_append
from jaxnets.training import Interrupted
from jaxnets.training.report import write_json

ROOT = Path(command_line.__file__).parents[1]
LIMIT = 2**16  # bytes
ALL_SCRIPTS = [
    path
    for path in (ROOT / "experiments").rglob("*.py")
    if "__name__ ==" in path.read_text("utf-8")
]
ALONE = {
    "__init__.py",
    "__main__.py",
    "worker.py",
    "by_hand.py",
    "same_bits_runs.py",
    "with_jaxnets.py",
    "layout_runs.py",
    "topologies.py",
    "launch.py",
}  # whose options are not a Config


@pytest.fixture
def small_files():
    """Limit the size of files that this process can write to `LIMIT`, like a quota."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def raising(error):
    def experiment():
        raise error

    return experiment


def test_every_script_runs_command_line_main():
    for path in ALL_SCRIPTS:
        *_, last = ast.parse(path.read_text("utf-8")).body
        calls = {ast.unparse(n.func) for n in ast.walk(last) if isinstance(n, ast.Call)}
        assert "command_line.main" in calls or path.name in ALONE, path


def noise():
    figure = Figure(figsize=(9, 9))
    figure.subplots().imshow(np.random.default_rng(0).random((500, 500)))
    return figure


@pytest.mark.parametrize(
    "write",
    [
        lambda path: write_figure(path, noise()),
        lambda path: write_json(path, {"numbers": list(range(LIMIT))}),
        lambda path: append_too_much(path),
    ],
    ids=["figure", "json", "log"],
)
def test_a_full_disk_is_a_one_line_error_and_keeps_the_earlier_file(
    ended, tmp_path, small_files, write
):
    path = tmp_path / "file"
    path.write_bytes(b"earlier\n")
    status, errors = ended(lambda: write(path))
    assert (status, errors) == (2, f"error: {path}: File too large\n")
    assert path.read_bytes() == b"earlier\n"
    assert os.listdir(tmp_path) == ["file"]


def append_too_much(path):
    with atomic_append(path) as append:
        append(bytes(LIMIT))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_an_error_of_fsync_names_the_file(ended, tmp_path, monkeypatch, number):
    def refuse(descriptor):
        raise OSError(number, os.strerror(number))

    (tmp_path / "result.json").write_text("earlier")
    monkeypatch.setattr(os, "fsync", refuse)
    status, errors = ended(lambda: write_json(tmp_path / "result.json", {}))
    assert (status, errors) == (2, f"error: {tmp_path}/result.json: {os.strerror(number)}\n")
    assert (tmp_path / "result.json").read_text() == "earlier"


def test_an_error_without_a_file_has_its_own_message(ended):
    assert ended(raising(OSError("no regular file"))) == (2, "error: no regular file\n")
    assert ended(raising(BrokenPipeError(errno.EPIPE, "Broken pipe"))) == (
        2,
        "error: Broken pipe\n",
    )


def test_a_kill_while_a_plot_is_written_keeps_the_earlier_plot(tmp_path):
    program = """
import os, sys
from pathlib import Path
from matplotlib.figure import Figure
from experiments.folder import write_figure
write_figure(Path("curves.png"), Figure())
os.replace = os.fsync = lambda *arguments: os._exit(9)
write_figure(Path("curves.png"), Figure(figsize=(1, 1)))
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment)
    assert process.returncode == 9
    content = (tmp_path / "curves.png").read_bytes()
    assert content[1:4] == b"PNG" and content[-8:-4] == b"IEND"
    assert int.from_bytes(content[16:20], "big") == 768  # 6.4 inches of 120 dots


def test_ctrl_c_is_one_line_and_status_130_and_a_second_one_exits_at_once(ended):
    assert ended(raising(KeyboardInterrupt())) == (130, "interrupted; nothing more is saved\n")
    assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_an_interrupted_training_is_one_line_and_has_the_status_of_its_signal(
    ended, number, status
):
    message = "interrupted; the run is saved, --resume continues it\n"
    assert ended(raising(Interrupted(None, number))) == (status, message)


def begun(out, *options):
    """A run in its own process, with pipes for stdout and stderr."""
    command = [sys.executable, "-m", "experiments.mnist_mlp", f"--out={out}", *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=ROOT, text=True, **pipes)


def test_ctrl_c_while_a_script_compiles_is_one_line(tmp_path, small_mnist):
    process = begun(tmp_path / "run", f"--data-dir={small_mnist}", "--validation=40")
    assert process.stdout.readline().startswith("mnist_mlp: ")
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=120)[1]
    assert (process.returncode, errors) == (130, "interrupted; nothing more is saved\n")


def test_two_ctrl_cs_end_training_with_one_line(tmp_path, small_mnist):
    options = [f"--data-dir={small_mnist}", "--validation=40", "--batch-size=60"]
    process = begun(tmp_path / "run", *options, "--epochs=1000000")
    while not process.stdout.readline().startswith("epoch "):
        assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert errors.startswith("interrupted; ") and errors.count("\n") == 1


def test_ctrl_c_while_a_script_imports_is_one_line():
    program = """
import os, signal, sys
from importlib.abc import MetaPathFinder

class Interrupting(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "jax":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
sys.argv = ["-m"]
import experiments.mnist_mlp
"""
    process = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True)
    assert process.stderr == b"interrupted; nothing more is saved\n"
    assert process.returncode == 130


@pytest.mark.parametrize("name", ["mnist_mlp", "seeds", "search", "finetune"])
def test_an_out_that_is_a_file_is_a_one_line_error(ended, tmp_path, small_mnist, name):
    (tmp_path / "file").write_text("mine")
    config = SimpleNamespace(out=tmp_path / "file", resume=False)
    dataset = data.load("mnist", data_dir=small_mnist)
    status, errors = ended(lambda: begin(name, config, dataset))
    assert status == 2 and errors.count("\n") == 1
    assert errors.startswith(f"error: cannot write to {tmp_path / 'file'}: File exists; choose")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_program_that_imports_an_experiment_keeps_its_excepthook():
    program = "import sys, experiments; assert sys.excepthook is sys.__excepthook__"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)
