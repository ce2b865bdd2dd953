"""Hyperband against random search, in a small run."""

import json

import pytest

from experiments import search
from jaxnets.training import RunError

FASTEST = "jaxnets.training.population.fit.fastest"
SMALL = {"seeds": 1, "units": 3, "trials": 2, "images": 120, "validation": 40, "batch_size": 60}


@pytest.mark.usefixtures("draw_nothing")
def test_both_searches_find_a_setting_and_resuming_repeats_nothing(
    small_mnist, tmp_path, monkeypatch, capsys
):
    # finding the faster strategy compiles both, and is tested elsewhere
    monkeypatch.setattr(FASTEST, lambda run, hparams: "vmap")
    options = SMALL | {"data_dir": small_mnist}
    found = search.experiment(search.Config(**options, out=tmp_path / "run"))
    (run,) = found["runs"]
    assert run["random"]["updates"] == 2 * 3 * 2  # settings, units, updates per unit
    # 3 settings for a unit, the best of them for 2 more, and then 2 settings for 3 units
    assert run["hyperband"]["updates"] == (3 * 1 + 1 * 2 + 2 * 3) * 2
    assert max(run["random"]["validation_accuracies"]) == run["random"]["validation_accuracy"]
    assert json.loads((tmp_path / "run" / "result.json").read_text())["runs"] == found["runs"]
    assert "Hyperband minus random search, over 1 seeds" in capsys.readouterr().out
    with pytest.raises(RunError, match="not empty"):
        search.experiment(search.Config(**options, out=tmp_path / "run"))
    monkeypatch.setattr("jaxnets.training.search.brackets.fit_population", None)  # trains nothing
    again = search.experiment(search.Config(**options, out=tmp_path / "run", resume=True))
    assert again["runs"] == found["runs"]
