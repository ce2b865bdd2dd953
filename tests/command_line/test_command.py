"""The command `jaxnets`: its help, its exit status, and errors in one line."""

import errno
import json
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from PIL import Image

import jaxnets
from jaxnets import data
from jaxnets.command_line import bench, main
from jaxnets.command_line.main import COMMANDS
from jaxnets.training import Interrupted, fit

ROOT = Path(jaxnets.__file__).parents[1]
RUN = {"experiment": "e", "config": {}}
SMALL = ("--examples=256", "--hidden=4", "--epochs=1", "--batch-size=64")


@pytest.fixture
def command(capsys, monkeypatch):
    """Run the command; return its exit status, and what it prints to stdout and stderr."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)

    def command(*arguments):
        with pytest.raises(SystemExit) as raised:
            main([str(argument) for argument in arguments])
        return raised.value.code, *capsys.readouterr()

    return command


def one_line(result):
    """The message of a command that failed in one line, with status 2 and no traceback."""
    status, out, message = result
    assert status == 2 and not out
    assert message.startswith("error: ") and message.count("\n") == 1
    return message


def test_the_help_lists_every_command(command):
    status, out, _ = command("--help")
    assert status == 0 and out == command()[1]
    for name, (_, text) in COMMANDS.items():
        assert f"  {name:<12} {text}" in out


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help(command, name):
    status, out, _ = command(name, "--help")
    assert status == 0 and f"jaxnets {name}" in out


def test_the_module_runs_the_command_and_a_closed_pipe_is_not_an_error():
    program = [sys.executable, "-m", "jaxnets", "info"]
    process = subprocess.Popen(program, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    with process.stderr as errors:
        assert (errors.read(), process.wait(timeout=60)) == (b"", 0)


def test_the_version_is_that_of_the_package(command):
    assert command("--version")[:2] == (0, f"jaxnets {jaxnets.__version__}\n")


def test_an_unknown_command_is_an_error_that_lists_the_commands(command):
    assert "demo, " in one_line(command("paly"))


def test_info_names_versions_devices_and_caches(command):
    status, out, _ = command("info")
    assert status == 0
    lines = {line[:22].strip(): line[22:].strip() for line in out.splitlines()}
    assert lines["jaxnets"] == jaxnets.__version__
    assert lines.keys() >= {"jax", "python", "devices", "processor", "cache", "compiled programs"}


def test_report_compares_runs_and_writes_one_file(command, tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text(json.dumps(RUN))
    page = tmp_path / "page.html"
    status, out, _ = command("report", tmp_path / "a", tmp_path / "b", "--out", page)
    assert (status, out) == (0, f"wrote {page} ({page.stat().st_size / 1000:.0f} kB)\n")
    assert "Comparison of a, b" in page.read_text()
    assert command("report", tmp_path / "a", "--out", page)[0] == 0
    assert "<title>Unfinished: e</title>" in page.read_text()


def test_mistakes_are_reported_in_one_line(command, tmp_path):
    assert "expects at least one folder" in one_line(command("report"))
    assert "holds no run" in one_line(command("report", tmp_path))
    (tmp_path / "run.json").write_text(json.dumps(RUN))
    wrong = tmp_path / "none" / "page.html"
    assert "No such file" in one_line(command("report", tmp_path, "--out", wrong))
    assert "--epochs expects" in one_line(command("demo", "--epochs", 0))
    assert "is not empty" in one_line(command("demo", "--out", tmp_path))
    assert command("demo", "--epochs", "many")[0] == 2
    assert "--steps expects a number from 1 to 4,096" in one_line(command("bench", "--steps", 5000))
    for option in ("--steps", "--rounds", "--hidden", "--batch-size"):
        assert f"{option} expects" in one_line(command("bench", "--quick", option, 0))
    assert "--batch-size expects" in one_line(command("bench", "--batch-size", 60_001))


def test_the_demo_trains_and_writes_a_run_with_its_page(command, tmp_path):
    status, out, errors = command("demo", *SMALL, "--out", tmp_path / "run")
    assert (status, errors) == (0, "")
    assert "epoch 1/1" in out and "in a browser" in out
    names = {path.name for path in (tmp_path / "run").iterdir()}
    files = {
        "model.jaxnets",
        "metrics.jsonl",
        "params.safetensors",
        "report.html",
        "result.json",
        "run.json",
    }
    assert names == files
    page = (tmp_path / "run" / "report.html").read_text()
    picture = tmp_path / "seven.png"
    Image.fromarray(data.load("mnist").test.x[0, :, :, 0]).resize((56, 56)).save(picture)
    status, out, _ = command("predict", tmp_path / "run" / "model.jaxnets", picture)
    assert status == 0 and out.startswith(f"{picture}: ") and out.count("%") == 3
    status, out, _ = command("summary", tmp_path / "run" / "model.jaxnets")
    assert status == 0 and "classes: 0, 1, 2" in out
    wrong = command("predict", tmp_path / "run" / "model.jaxnets", tmp_path / "run" / "run.json")
    assert "as an image" in one_line(wrong)
    assert "Confusion matrix" in page and "First kernels" in page and len(page) < 500_000


@pytest.mark.parametrize(
    "error, status",
    [
        (KeyboardInterrupt(), 130),
        (OSError(errno.ENOSPC, "No space left on device", "f"), 2),
    ],
)
def test_the_exit_status_shows_how_it_ended(command, monkeypatch, error, status):
    def fail(arguments):
        raise error

    monkeypatch.setattr("jaxnets.command_line.info.main", fail)
    got, _, message = command("info")
    assert got == status and "Traceback" not in message


def test_an_interrupted_demo_writes_what_it_has_and_ends_like_an_experiment(
    command, monkeypatch, tmp_path
):
    def interrupt(*arguments, **options):
        result = fit(*arguments, **options)
        raise Interrupted(result, signal.SIGTERM)

    monkeypatch.setattr("jaxnets.command_line.demo.fit", interrupt)
    status, _, message = command("demo", *SMALL, "--out", tmp_path / "run")
    assert (status, message) == (75, "interrupted\n")
    page = (tmp_path / "run" / "report.html").read_text()
    assert "<title>Interrupted after 4 of 4 steps: A multi-layer perceptron on MNIST" in page


def test_bench_prints_the_machine_and_both_times(command):
    small = ("--hidden=4", "--batch-size=8", "--steps=3", "--rounds=2")
    status, out, errors = command("bench", "--quick", *small)
    assert (status, errors) == (0, "")
    assert f"jaxnets {jaxnets.__version__}, jax " in out and "\ndevice cpu (cpu); processor " in out
    assert "784-4-10, batch 8, Adam, float32: 2 rounds of 3 steps" in out
    time = r"[\d.]+ \([\d.]+ to [\d.]+\)"
    for name in ("jaxnets, compiled chunk", "by hand, jax.lax.scan"):
        assert re.search(rf"^{name} +{time} ms per step, [\d,]+ images/s$", out, re.M)
    assert re.search(rf"^by hand / jaxnets +{time}; above 1, jaxnets is faster$", out, re.M)


def test_bench_refuses_to_compare_trainings_that_differ(command, monkeypatch):
    loss = bench.loss_by_hand
    monkeypatch.setattr(bench, "loss_by_hand", lambda *arguments: 1.1 * loss(*arguments))
    small = ("--hidden=4", "--batch-size=8", "--steps=2", "--rounds=1")  # not yet compiled
    status, out, message = command("bench", *small)
    assert status == 2 and "ms per step" not in out
    assert "expects the same losses" in message and message.count("\n") == 1


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch):
    def fail(arguments):
        raise ZeroDivisionError

    monkeypatch.setattr("jaxnets.command_line.info.main", fail)
    with pytest.raises(ZeroDivisionError):
        main(["info"])
