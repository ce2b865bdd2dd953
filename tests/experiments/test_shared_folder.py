"""Only one live process at a time can use the folder of a run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import configs, folder, runner
from jaxnets import data
from jaxnets.training import RunError

ROOT = Path(runner.__file__).parents[1]
BEGIN = """
import sys
from pathlib import Path
from experiments import mnist_mlp, runner
from jaxnets import data
from jaxnets.training import RunError
dataset = data.load("mnist", data_dir=sys.argv[1])
out, options = Path(sys.argv[2]), sys.argv[3:]
print("ready", flush=True)
sys.stdin.readline()
config = mnist_mlp.Config(out=out, data_dir=Path(sys.argv[1]), resume="--resume" in options)
try:
    runner.Run("mnist_mlp", config, dataset)
    print("began", flush=True)
except RunError as error:
    print(error, flush=True)
sys.stdin.read()
"""


def waiting(small_mnist, out, *options):
    """A process that starts a run when its stdin gets a line, and waits for the end of stdin."""
    command = [sys.executable, "-c", BEGIN, small_mnist, out, *options]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=ROOT, text=True, **pipes)
    assert process.stdout.readline() == "ready\n"
    return process


def output_of(process):
    """The first line after those of the run, which says whether the run started."""
    while (line := process.stdout.readline()).startswith(("mnist_mlp: ", "nothing to resume")):
        pass
    return line


@pytest.fixture
def begun(small_mnist):
    """A function that starts a waiting process; all are killed at the end."""
    processes = []

    def begun(out, *options, go=True):
        processes.append(process := waiting(small_mnist, out, *options))
        if go:
            print(file=process.stdin, flush=True)
        return process

    yield begun
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("options", [[], ["--resume"]], ids=["new", "resume"])
def test_of_several_runs_started_at_once_in_one_folder_only_one_runs(begun, tmp_path, options):
    processes = [begun(tmp_path / "run", *options, go=False) for _ in range(3)]
    for process in processes:
        print(file=process.stdin, flush=True)
    answers = sorted(map(output_of, processes))
    assert answers.count("began\n") == 1
    assert all("another run is writing to" in a or "is not empty" in a for a in answers[:2])
    assert json.loads((tmp_path / "run" / "run.json").read_text())["experiment"] == "mnist_mlp"


def test_a_live_run_cannot_be_resumed_and_a_killed_one_can(begun, tmp_path):
    live = begun(tmp_path / "run")
    assert output_of(live) == "began\n"
    assert "another run is writing to" in output_of(begun(tmp_path / "run", "--resume"))
    assert "is not empty; choose a new folder" in output_of(begun(tmp_path / "run"))
    live.kill()
    live.wait()
    assert output_of(begun(tmp_path / "run", "--resume")) == "began\n"


def test_resuming_removes_the_temporary_files_of_a_killed_run(begun, tmp_path):
    first = begun(tmp_path / "run")
    assert output_of(first) == "began\n"
    first.kill()
    first.wait()
    for name in ("curves.png", "result.json", "params.safetensors", "metrics.jsonl"):
        (tmp_path / "run" / f"{name}.12-ab.tmp").touch()
    (tmp_path / "run" / "mine.tmp").touch()
    assert output_of(begun(tmp_path / "run", "--resume")) == "began\n"
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == {"run.json", "run.lock", "mine.tmp"}


def test_two_benchmarks_do_not_share_a_file(tmp_path):
    program = """
import sys
from pathlib import Path
from experiments.bench.options import check_out
from jaxnets.training import RunError
try:
    check_out(Path(sys.argv[1]))
    print("began", flush=True)
except RunError as error:
    print(error, flush=True)
sys.stdin.read()
"""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
    command = [sys.executable, "-c", program, tmp_path / "new" / "speed.jsonl"]
    processes = []
    try:
        for answer in ("began\n", "another process is writing to"):
            processes.append(subprocess.Popen(command, **pipes))
            assert processes[-1].stdout.readline().startswith(answer)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    last = subprocess.Popen(command, **pipes)
    assert last.communicate(timeout=60)[0] == "began\n"


def test_a_run_that_another_process_finished_before_the_lock_is_kept(
    small_mnist, tmp_path, monkeypatch
):
    def run_and_end(lock):
        lock.with_name("run.json").write_text("an earlier run")
        return True

    monkeypatch.setattr(folder, "hold", run_and_end)
    dataset = data.load("mnist", data_dir=small_mnist)
    with pytest.raises(RunError, match="is not empty"):
        folder.begin("mnist_mlp", configs.RecipeConfig(out=tmp_path / "run"), dataset)
    assert (tmp_path / "run" / "run.json").read_text() == "an earlier run"
