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
PROGRAM = """
import json
import sys
from pathlib import Path
from experiments import mnist_mlp, runner
from experiments.bench.options import check_out
from jaxnets import data
from jaxnets.training import RunError
data_dir = Path(sys.argv[1])
dataset, kept = data.load("mnist", data_dir=data_dir), []
def run(out, resume):
    config = mnist_mlp.Config(out=Path(out), data_dir=data_dir, resume=resume)
    kept.append(runner.Run("mnist_mlp", config, dataset))
def bench(out):
    kept.append(check_out(Path(out)))
print("ready", flush=True)
for line in sys.stdin:
    name, *arguments = json.loads(line)
    try:
        {"run": run, "bench": bench}[name](*arguments)
        print("began", flush=True)
    except RunError as error:
        print(error, flush=True)
"""


class Process:
    """A process that starts what its stdin names, and keeps it until it is killed."""

    def __init__(self, small_mnist):
        command = [sys.executable, "-c", PROGRAM, small_mnist]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen(command, cwd=ROOT, text=True, **pipes)

    def wait(self):
        assert self.process.stdout.readline() == "ready\n"

    def send(self, name, out, *options):
        print(json.dumps([name, str(out), *options]), file=self.process.stdin, flush=True)

    def answer(self):
        """The first line after those of the run, which says whether the run started."""
        lines = iter(self.process.stdout.readline, "")
        return next(x for x in lines if not x.startswith(("mnist_mlp: ", "nothing to resume")))

    def ask(self, *arguments):
        self.send(*arguments)
        return self.answer()

    def kill(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def alive(small_mnist):
    """The live processes, shared by all tests, since each takes seconds to start."""
    processes = []
    yield processes
    for process in processes:
        process.kill()


@pytest.fixture
def start(alive, small_mnist):
    """A function that returns n live processes."""

    def start(n):
        new = [Process(small_mnist) for _ in range(n - len(alive))]
        alive.extend(new)
        for process in new:
            process.wait()
        return alive[:n]

    return start


@pytest.fixture
def kill(alive):
    """A function that kills a process."""

    def kill(process):
        alive.remove(process)
        process.kill()

    return kill


@pytest.mark.parametrize("resume", [False, True], ids=["new", "resume"])
def test_of_several_runs_started_at_once_in_one_folder_only_one_runs(start, tmp_path, resume):
    processes = start(3)
    for process in processes:
        process.send("run", tmp_path / "run", resume)
    answers = sorted(process.answer() for process in processes)
    assert answers.count("began\n") == 1
    assert all("another run is writing to" in a or "is not empty" in a for a in answers[:2])
    assert json.loads((tmp_path / "run" / "run.json").read_text())["experiment"] == "mnist_mlp"


def test_a_live_run_cannot_be_resumed_and_a_killed_one_can(start, kill, tmp_path):
    live, other = start(2)
    assert live.ask("run", tmp_path / "run", False) == "began\n"
    assert "another run is writing to" in other.ask("run", tmp_path / "run", True)
    assert "is not empty; choose a new folder" in other.ask("run", tmp_path / "run", False)
    kill(live)
    assert other.ask("run", tmp_path / "run", True) == "began\n"


def test_resuming_removes_the_temporary_files_of_a_killed_run(start, kill, tmp_path):
    first, second = start(2)
    assert first.ask("run", tmp_path / "run", False) == "began\n"
    kill(first)
    for name in ("curves.png", "result.json", "params.safetensors", "metrics.jsonl"):
        (tmp_path / "run" / f"{name}.12-ab.tmp").touch()
    (tmp_path / "run" / "mine.tmp").touch()
    assert second.ask("run", tmp_path / "run", True) == "began\n"
    left = {path.name for path in (tmp_path / "run").iterdir()}
    assert left == {"run.json", "run.lock", "mine.tmp"}


def test_two_benchmarks_do_not_share_a_file(start, kill, tmp_path):
    first, second = start(2)
    out = tmp_path / "new" / "speed.jsonl"
    assert first.ask("bench", out) == "began\n"
    assert second.ask("bench", out).startswith("another process is writing to")
    kill(first)
    assert second.ask("bench", out) == "began\n"


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
