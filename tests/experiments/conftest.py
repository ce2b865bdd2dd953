"""A small MNIST on the disk, and an isolated environment for experiments."""

import gzip
import signal
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import jax
import pytest

from experiments import command_line
from jaxnets import data

PACKAGED = Path(data.__file__).parent / "mnist"
FILES = {"train": 640, "t10k": 200}  # the number of rows of each split to keep


def first_rows(path, rows):
    """The IDX content of the first rows of a packaged file."""
    content = gzip.decompress(path.read_bytes())
    header, row = (16, 28 * 28) if "images" in path.name else (8, 1)
    return content[:4] + rows.to_bytes(4, "big") + content[8 : header + rows * row]


@pytest.fixture(scope="session")
def small_mnist(tmp_path_factory):
    """A folder with the first rows of each of MNIST's four files."""
    folder = tmp_path_factory.mktemp("mnist")
    for path in PACKAGED.glob("*.gz"):
        rows = FILES[path.name.split("-")[0]]
        (folder / path.name).write_bytes(gzip.compress(first_rows(path, rows), 1))
    return folder


@pytest.fixture
def compile_quickly():
    """Programs that run once on a few examples are not worth optimising."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path_factory):
    """A compilation cache apart from the user's, in an environment without a data folder."""
    folder = tmp_path_factory.getbasetemp() / "compiled"
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(folder))
    monkeypatch.delenv("JAXNETS_DATA_DIR", raising=False)
    return folder


@dataclass(frozen=True)
class Config:
    """No options."""


@pytest.fixture
def ended(monkeypatch, capsys):
    """Run an experiment as a script; return its exit status and its stderr."""
    before, show = signal.getsignal(signal.SIGINT), warnings.showwarning
    monkeypatch.setattr(sys, "argv", ["script"])

    def ended(experiment):
        with pytest.raises(SystemExit) as raised:
            command_line.main(lambda config: experiment(), Config)
        return raised.value.code, capsys.readouterr().err

    yield ended
    signal.signal(signal.SIGINT, before)
    warnings.showwarning = show
