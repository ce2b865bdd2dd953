"""The launcher starts processes of one cluster, ends all after a failure, and restarts them."""

import signal
import sys
from pathlib import Path

import jax
import pytest

from experiments import distributed, launch, mnist_mlp, runner, torture, torture_processes
from experiments.run_digest import saved_step, temporary_files
from jaxnets import data
from jaxnets.json_files import decode
from jaxnets.training import RunError

ROOT = Path(launch.__file__).parents[1]
EXPERIMENT = """#!/bin/sh
echo "$JAXNETS_PROCESS of $JAXNETS_PROCESSES: $*" >> {log}
[ $JAXNETS_PROCESS = 0 ] && sleep {seconds} && exit 76
{end}
"""


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Start two processes of a shell script, of which the second ends; return their lines."""

    def start(end, *options, seconds=0.1):
        script, log = tmp_path / "python", tmp_path / "log"
        script.write_text(EXPERIMENT.format(log=log, end=end, seconds=seconds))
        script.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(script))
        handler = signal.getsignal(signal.SIGTERM)
        status = launch.main(["-n", "2", *options, "mnist_mlp", "--epochs", "2"])
        assert signal.getsignal(signal.SIGTERM) is handler
        return status, sorted(log.read_text().splitlines())

    return start


def test_all_processes_are_started_again_with_resume_when_one_was_killed(started, capsys):
    status, lines = started("kill -9 $$", "--restarts", "1")
    assert status == 76
    command = "of 2: -m experiments.mnist_mlp --epochs 2"
    once, again = f"{command} --distributed", f"{command} --resume --distributed"
    assert lines == sorted(f"{n} {words}" for n in (0, 1) for words in (once, again))
    assert capsys.readouterr().err == "processes ended with [76, -9]; restart 1\n"


@pytest.mark.parametrize("status", launch.FINAL)
def test_a_run_that_would_end_the_same_way_is_not_restarted(started, status):
    _, lines = started(f"exit {status}", "--restarts", "1")
    assert len(lines) == 2


def test_ctrl_c_reaches_the_processes_as_sigterm_and_ends_the_run(started):
    both_run = "until grep -q '0 of 2' ${0%/*}/log; do sleep 0.01; done"
    stop = "trap 'echo stopped >> ${0%/*}/log; exit 75' TERM; kill -INT $PPID; sleep 1 & wait"
    status, lines = started(f"{both_run}; {stop}", "--restarts", "1", seconds=2)
    assert status == 130
    assert len(lines) == 3 and lines[-1] == "stopped"


def test_a_module_that_does_not_exist_is_refused_before_anything_starts(capsys):
    for name in ("nothing", "mnist_mlp.model", ""):
        with pytest.raises(SystemExit, match="2"):
            launch.main(["-n", "2", name])
        assert f"expected the name of an experiment, but got {name!r}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        ValueError("coordinator_address should be defined."),
        jax.errors.JaxRuntimeError("UNKNOWN: Failed to start RPC server\nat ..."),
    ],
)
def test_a_cluster_that_jax_does_not_find_or_reach_is_an_error_in_one_line(error, monkeypatch):
    def initialize(**_):
        raise error

    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    with pytest.raises(RunError, match=r"expects a cluster .*, but got '[^\n]*'; start") as raised:
        distributed.initialize()
    assert str(raised.value).isprintable()


def test_a_finished_run_is_not_restarted():
    assert not launch.is_restarted([0, 0])
    assert launch.is_restarted([0, 76]) and launch.is_restarted([-9, -6])


def test_a_checkpoint_of_several_processes_counts_once_it_has_its_manifest(tmp_path):
    folder = tmp_path / "checkpoints" / "training"
    for name in ("4", "8", "12.orbax-checkpoint-tmp"):
        (folder / name).mkdir(parents=True)
    (folder / "4" / "manifest.safetensors").touch()
    assert saved_step(tmp_path) == 4
    assert temporary_files(tmp_path) == {"12.orbax-checkpoint-tmp"}


def test_the_statuses_before_each_restart_are_counted():
    lines = ["processes ended with [-9, 76]; restart 1", "processes ended with [-6, -9]; restart 2"]
    found = torture_processes.ended(lines)
    assert found == {"SIGKILL": 2, "PeerLost": 1, "ended by JAX": 1}


def test_the_committed_run_survived_every_kill():
    result = decode((ROOT / "experiments/results/torture_processes.json").read_text("utf-8"))
    assert result["right"] and result["config"]["stops"] == result["SIGSTOP"] > 0
    kills = result[torture.ANY_MOMENT] + result[torture.AT_A_SAVE]
    assert kills == result["config"]["kills"] == 20


def test_the_children_of_a_process_are_found():
    process = torture_processes.subprocess.Popen(["sh", "-c", "sleep 5 & wait"])
    try:
        torture_processes.wait(process, lambda: torture_processes._children(process))
        (child,) = torture_processes._children(process)
        assert Path(f"/proc/{child}").exists()
    finally:
        process.kill()
        process.wait()
    assert torture_processes._children(process) == set()


def test_only_the_first_process_writes_a_page(small_mnist, tmp_path):
    options = mnist_mlp.Config(data_dir=small_mnist, out=tmp_path / "run")
    run = runner.Run("mnist_mlp", options, data.load("mnist", data_dir=small_mnist))
    run.folder = tmp_path / "own"  # as in the other processes; it has no run.json
    run.folder.mkdir()
    run.write({"steps": 1}, {}, predicted=None, network=None)
    assert [path.name for path in run.folder.iterdir()] == ["result.json"]
