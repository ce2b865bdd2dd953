"""`--resume` continues a run after any interruption, and refuses a different run."""

import json
import os
from contextlib import contextmanager

import pytest

from experiments import mnist_mlp, runner, torture
from experiments.folder import cut
from experiments.run_digest import saved_step
from jaxnets import data
from jaxnets.training import RunError


@contextmanager
def on_one_core():
    """Processes that start in the block run on one core, where the system pins processes."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:1])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def test_a_killed_and_resumed_run_on_one_core_has_the_digest_of_a_whole_one_on_all_cores(
    small_mnist, tmp_path, monkeypatch
):
    """One kill; experiments/results/torture.json records dozens of signals at random times."""
    run, end = torture.Torture.run, torture.Torture._end

    def run_on_one_core(self, ends):
        with on_one_core():
            return run(self, ends)

    def end_after_a_save(self, child, folder, *rest):
        torture.wait(child, lambda: saved_step(folder))  # so that there is something to resume
        end(self, child, folder, *rest)

    monkeypatch.setattr(torture.Torture, "run", run_on_one_core)
    monkeypatch.setattr(torture.Torture, "_end", end_after_a_save)
    options = {"kills": 1, "terms": 0, "interrupts": 0, "epochs": 8, "data_dir": small_mnist}
    options |= {"batch_size": 60, "validation": 40, "out": tmp_path / "torture.json"}
    assert torture.main(torture.Config(**options)) == 0
    found = json.loads(options["out"].read_text())
    assert (found["right"], found[torture.AT_A_SAVE], found["resumes"]) == (True, 1, 1)


def test_the_torture_detects_a_run_with_another_digest(tmp_path, monkeypatch):
    ends = iter(["a", "b"])
    monkeypatch.setattr(torture.Torture, "uninterrupted", lambda self: next(ends))
    monkeypatch.setattr(torture.Torture, "run", lambda self, left: left.pop() and next(ends))
    assert torture.main(torture.Config(kills=1, terms=0, interrupts=0)) == 1


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
