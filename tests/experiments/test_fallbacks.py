"""Without a writable or a home folder, a script prints a message and saves what it can."""

import sys
import tempfile
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import data
from jaxnets.training import (
    CheckpointError,
    Checkpoints,
    FitResult,
    Progress,
    SavingFailed,
    TrainState,
)
from jaxnets.training.population import PopulationResult


@pytest.mark.parametrize("population", [False, True])
def test_the_train_state_is_saved_elsewhere_if_its_folder_fails(
    ended, tmp_path, monkeypatch, population
):
    step = jnp.array([3, 7]) if population else jnp.int32(7)
    state, history = train_state(step), (Progress(7, 9, 1, 1, False, {}, None, 1.0, 1.0),)
    if population:
        fitted = PopulationResult(state, history, np.array([3, -1]), None, "vmap", 0.0, 0.0, 0.0)
    else:
        fitted = FitResult(state, history, None, 0.0, 0.0, 0.0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def failing():
        raise SavingFailed(fitted, CheckpointError("its folder is full"))

    status, errors = ended(failing)
    (folder,) = tmp_path.iterdir()
    assert (status, str(folder) in errors) == (2, True)
    assert Checkpoints(folder).latest_valid() == 7

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    status, errors = ended(failing)
    assert (status, errors.splitlines()[0]) == (2, "error: its folder is full")
    assert "could not be saved elsewhere either" in errors.splitlines()[1]


@pytest.fixture
def no_home(monkeypatch):
    """A user with neither HOME nor an entry in the password database."""

    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)


def train_state(step):
    return TrainState(step, {"w": jnp.ones(2)}, {}, (), jax.random.key(0))


def test_without_a_home_folder_a_script_warns_and_runs(ended, no_home, monkeypatch):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    warning = "warning: compiled programs are not cached on disk: there is no home folder; set"
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        assert ended(lambda: sys.exit(0)) == (0, f"{warning} XDG_CACHE_HOME to a folder\n")


def test_a_download_without_a_home_folder_is_refused(ended, no_home, monkeypatch):
    status, errors = ended(lambda: data.load("mnist", source="download"))
    assert status == 2 and errors.startswith("error: mnist was not found in")
    assert "there is no home folder; set XDG_CACHE_HOME to a folder" in errors
