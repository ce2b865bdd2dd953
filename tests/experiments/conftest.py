"""A small MNIST on the disk, and an isolated environment for experiments."""

import signal
import sys
import warnings
from dataclasses import dataclass

import jax
import pytest
from matplotlib.figure import Figure
from small_mnist import write_mnist

from experiments import command_line


@pytest.fixture(scope="session")
def small_mnist(tmp_path_factory):
    """A folder with the first rows of each of MNIST's four files."""
    return write_mnist(tmp_path_factory.mktemp("mnist"), train=640, test=200)


@pytest.fixture(scope="module")
def compile_quickly():
    """Programs that run once on a few examples are not worth optimising."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="session", autouse=True)
def coarse_figures():
    """Figures with few pixels, which are drawn sooner."""
    savefig = Figure.savefig

    def coarse(figure, *arguments, **options):
        savefig(figure, *arguments, **options | {"dpi": 20})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", coarse)
        yield


@pytest.fixture
def draw_nothing(monkeypatch):
    """Draw no figures, so that their files are empty; drawing is tested elsewhere."""
    monkeypatch.setattr(Figure, "savefig", lambda *arguments, **options: None)


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path_factory):
    """A compilation cache separate from the user's, in an environment without a data folder."""
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
