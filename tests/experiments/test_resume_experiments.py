"""`--resume` continues a run after any interruption, and refuses a different run."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from experiments import mnist_mlp, run_digest, runner, torture
from experiments.folder import cut
from jaxnets import data
from jaxnets.training import RunError

ROOT = Path(runner.__file__).parents[1]
SMALL = {"batch_size": 60, "validation": 40}  # ten steps per epoch
EPOCHS = 30


@pytest.fixture(scope="module")
def tortured(small_mnist, tmp_path_factory):
    """The exit status and the result of a run that is killed at a save and ended by SIGTERM."""
    out = tmp_path_factory.mktemp("torture") / "torture.json"
    options = {"kills": 1, "terms": 1, "interrupts": 0, "epochs": EPOCHS, "data_dir": small_mnist}
    with pytest.MonkeyPatch.context() as patch:  # as the fixture `cache`, which is of one test
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "compiled"))
        status = torture.main(torture.Config(**options, **SMALL, out=out))
    return status, json.loads(out.read_text())


def test_a_killed_and_resumed_run_has_the_digest_of_an_uninterrupted_one(tortured):
    """experiments/results/torture.json has dozens of signals, at any moment."""
    status, found = tortured
    assert (status, found["right"]) == (0, True)
    assert (found[torture.AT_A_SAVE], found["SIGTERM"]) == (1, 1)
    assert found["resumes"] >= 1


def test_the_torture_detects_a_run_with_another_digest(tmp_path, monkeypatch):
    ends = iter(["a", "b"])
    monkeypatch.setattr(torture.Torture, "uninterrupted", lambda self: next(ends))
    monkeypatch.setattr(torture.Torture, "run", lambda self, left: left.pop() and next(ends))
    assert torture.main(torture.Config(kills=1, terms=0, interrupts=0)) == 1


@contextmanager
def on_cores(cores):
    """Processes that start in the block run only on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system pins no process")
def test_a_seed_determines_every_bit_in_another_process_on_one_core_or_all(
    tortured, small_mnist, tmp_path
):
    options = {"epochs": EPOCHS, "data_dir": small_mnist, "out": tmp_path / "one", **SMALL}
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "experiments.mnist_mlp", *arguments]
    with on_cores(sorted(os.sched_getaffinity(0))[:1]):
        subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    assert run_digest.digest(options["out"]) == tortured[1]["digest"]  # on all cores


@pytest.fixture
def begin(small_mnist, tmp_path):
    """Start a run in tmp_path/run, or resume it."""
    dataset = data.load("mnist", data_dir=small_mnist)

    def begin(**options):
        options = {"data_dir": small_mnist, "out": tmp_path / "run"} | options
        return runner.Run("mnist_mlp", mnist_mlp.Config(**options), dataset)

    return begin


def test_resume_without_a_folder_is_refused(begin):
    with pytest.raises(RunError, match="pass it with --out"):
        begin(out=None, resume=True)


def test_an_empty_folder_and_a_missing_one_start_a_new_run_with_a_message(begin, tmp_path, capsys):
    for out in (tmp_path, tmp_path / "none"):
        assert not begin(out=out, resume=True).resumes
        assert f"nothing to resume in {out}; starting a new run" in capsys.readouterr().out


def test_resuming_a_run_killed_before_its_first_file_starts_a_new_run(begin, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").touch()
    assert not begin(resume=True).resumes
    assert begin(resume=True).resumes


def test_other_options_except_epochs_are_refused_by_name(begin):
    begin()
    begin(resume=True, epochs=99)
    with pytest.raises(RunError, match="started with other options") as error:
        begin(resume=True, seed=7, batch_size=64, optimizer="sgd")
    for line in ("seed: saved 0, given 7", "batch_size: saved 128, given 64", "optimizer: saved"):
        assert error.match(line)


def test_another_experiment_in_the_folder_is_named(begin, tmp_path):
    begin()
    path = tmp_path / "run" / "run.json"
    path.write_text(path.read_text().replace('"mnist_mlp"', '"mnist_cnn"'))
    with pytest.raises(RunError, match="experiment: saved mnist_cnn, given mnist_mlp"):
        begin(resume=True)


@pytest.mark.parametrize("damage", ['{"config": ', "[]", '{"config": 3, "data": 4}', "null"])
def test_a_damaged_description_is_refused(begin, tmp_path, damage):
    begin()
    (tmp_path / "run" / "run.json").write_text(damage)
    with pytest.raises(RunError, match=r"run\.json is damaged"):
        begin(resume=True)


def test_a_folder_with_something_else_is_refused(begin, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(RunError, match="holds no run"):
        begin(out=tmp_path, resume=True)


@pytest.mark.parametrize(
    "end", ["", '{"step": 40', '{"step": 40}', "\0\0\0", '{"step": 50}\n{"st', "[]\n"]
)
def test_a_log_is_truncated_at_the_checkpoint_and_before_an_incomplete_line(tmp_path, end):
    log = tmp_path / "metrics.jsonl"
    lines = [f'{{"step": {step}}}\n' for step in (10, 20, 30)]
    log.write_text("".join(lines) + end)
    cut(log, 40)
    assert log.read_text() == "".join(lines)
    cut(log, 20)
    assert log.read_text() == "".join(lines[:2])
    cut(tmp_path / "none", 20)
