"""Hyperband against random search, made small."""

import json

import pytest

from experiments import search
from jaxnets.training import RunError

FASTEST = "jaxnets.training.population.fit.fastest"
SMALL = {"seeds": 1, "units": 3, "trials": 4, "images": 120, "validation": 40, "batch_size": 60}


def test_both_searches_end_with_a_setting_and_a_second_start_repeats_nothing(
    small_mnist, tmp_path, monkeypatch, capsys
):
    # which strategy is the faster is another test's; measuring compiles both
    monkeypatch.setattr(FASTEST, lambda run, hparams: "vmap")
    options = SMALL | {"data_dir": small_mnist}
    found = search.experiment(search.Config(**options, out=tmp_path / "run"))
    (run,) = found["runs"]
    assert run["random"]["updates"] == 4 * 3 * 2  # settings, units, updates a unit
    assert run["hyperband"]["updates"] < run["random"]["updates"]
    assert max(run["random"]["validation_accuracies"]) == run["random"]["validation_accuracy"]
    assert json.loads((tmp_path / "run" / "result.json").read_text())["runs"] == found["runs"]
    assert "Hyperband minus random search, over 1 seeds" in capsys.readouterr().out
    with pytest.raises(RunError, match="not empty"):
        search.experiment(search.Config(**options, out=tmp_path / "run"))
    monkeypatch.setattr(
        "jaxnets.training.search.brackets.fit_population", None
    )  # nothing is trained
    again = search.experiment(search.Config(**options, out=tmp_path / "run", resume=True))
    assert again["runs"] == found["runs"]
