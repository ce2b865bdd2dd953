"""`python -m experiments` lists all scripts; each describes itself, and writes outside the code."""

import ast
import os
import subprocess
import sys
from dataclasses import MISSING, fields
from importlib import import_module
from pathlib import Path

import pytest

from experiments.__main__ import FOLDER, listing, scripts

ROOT = FOLDER.parent
SCRIPTS = sorted(scripts())
CHILDREN = {"bench.worker", "timings.same_bits_runs"}  # started by other scripts
CHILDREN |= {"bench.layout_runs", "bench.topologies", "frequent_saves"}
CHILDREN |= {"timings.processes.by_hand", "timings.processes.with_jaxnets"}


def python_m(*arguments):
    command = [sys.executable, "-m", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


def test_every_script_is_listed_in_one_line():
    with_main = set()
    for path in FOLDER.rglob("*.py"):
        *_, last = path.read_text("utf-8").rstrip().split("\n\n\n")
        if last.startswith('if __name__ == "__main__":'):
            name = ".".join(path.relative_to(FOLDER).with_suffix("").parts)
            with_main.add(name.removesuffix("__main__").removesuffix("."))
    assert set(SCRIPTS) == with_main - CHILDREN - {""}
    lines = listing().splitlines()
    for name, line in scripts().items():
        (listed,) = [each for each in lines if each.split()[:1] == [name]]
        assert listed.endswith(line) and line.endswith((".", "?"))


def test_a_test_imports_every_experiment():
    nodes = (
        node
        for path in Path(__file__).parent.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
    )
    imported = {
        alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module == "experiments"
        for alias in node.names
    }
    experiments = {name for name in SCRIPTS if "." not in name} - {"bench", "launch"}  # elsewhere
    assert not experiments - imported, "run the new experiment, made small, in tests/experiments"


def test_python_m_experiments_prints_the_listing():
    process = python_m("experiments")
    assert (process.returncode, process.stdout, process.stderr) == (0, listing() + "\n", "")


@pytest.mark.parametrize("name", ["runner", "bench.records", "decks", "no.such.module"])
def test_a_module_that_is_not_an_experiment_is_one_line_and_status_2(name):
    process = python_m(f"experiments.{name}")
    message = f"experiments.{name} is not an experiment; `python -m experiments` lists all of them"
    assert (process.returncode, process.stdout, process.stderr) == (2, "", f"{message}\n")


HELPED = "mnist_record", "bench", "timings.same_speed"


@pytest.fixture(scope="module")
def helps():
    """What the scripts print for `--help`, by name; all run in one process, which imports once."""
    program = f"""
import runpy, sys
for name in {HELPED}:
    sys.argv = ["", "--help"]
    try:
        runpy.run_module(f"experiments.{{name}}", run_name="__main__", alter_sys=True)
    except SystemExit as end:
        assert end.code == 0, end.code
    print("\\f", end="")
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100"}
    command = [sys.executable, "-c", program]
    process = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (process.returncode, process.stderr) == (0, "")
    return dict(zip(HELPED, process.stdout.split("\f"), strict=False))


@pytest.mark.parametrize("name", HELPED)
def test_help_has_a_line_for_each_command_and_no_absolute_path(helps, name):
    printed = helps[name]
    assert printed.startswith(f"usage: python -m experiments.{name} ")
    module = import_module(f"experiments.{name}" + ".__main__" * (name == "bench"))
    commands = [line for line in module.__doc__.splitlines() if line.startswith("python -m")]
    lines = [line.strip() for line in printed.splitlines()]
    assert commands and [line for line in lines if line in commands] == commands
    assert str(ROOT) not in printed and str(Path(sys.executable).parent) not in printed


@pytest.mark.parametrize("name", [name for name in SCRIPTS if name != "launch"])
def test_no_default_output_is_inside_the_code(name):
    module = import_module(f"experiments.{name}" + ".__main__" * (name == "bench"))
    options = {field.name: field.default for field in fields(module.Config)}
    assert options.get("out") is None
    paths = [value for value in options.values() if isinstance(value, Path)]
    assert not [path for path in paths if path.parts[:1] == ("experiments",)]
    required = {"contact_sheet", "timings.same_bits", "timings.same_speed"}
    assert MISSING not in options.values() or name in required
