"""The experiment on seconds to an accuracy: what it evaluates on, counts and proposes."""

import json

import numpy as np
import pytest

from experiments import mnist_speed
from experiments.mnist_speed import Network, Recipe, describe, divide, propose
from jaxnets.data import Dataset, Split
from jaxnets.training import RunError

TINY = Recipe(Network(((2,),), 64, 0), 2, 0.01)
CURVES = [[(1.0, 0.5), (2.0, 0.99)], [(1.5, 0.98), (2.5, 0.995)]]


@pytest.fixture
def small(monkeypatch, small_mnist, tmp_path):
    """Options of a run with a tiny recipe; the last 100 training images are held out."""
    monkeypatch.setattr(mnist_speed, "HELD_OUT", 100)
    monkeypatch.setattr(mnist_speed, "RECIPES", {0.05: TINY})
    monkeypatch.setattr(mnist_speed, "CANDIDATES", {0.05: [TINY]})
    options = {"data_dir": small_mnist, "seeds": 2, "targets": (0.05,), "processes": 0}
    return lambda **more: mnist_speed.Config(out=tmp_path / "out", **options | more)


def result_of(config):
    mnist_speed.experiment(config)
    return json.loads((config.out / "result.json").read_text(encoding="utf-8"))


def test_a_small_run_writes_the_seconds_and_the_accuracy_after_every_epoch(small):
    result = result_of(small())
    row = result["targets"]["0.05"]
    assert result["evaluated_on"] == "test" and result["processor"] and result["device"]
    assert [len(curve) for curve in row["curves"]] == [2, 2]
    assert all(0 < first[0] < last[0] for first, last in row["curves"])
    assert row["accuracy"]["mean"] == np.mean([curve[-1][1] for curve in row["curves"]])


@pytest.mark.parametrize("wrong", [{"seeds": 0}, {"targets": (0.5,)}])
def test_a_run_without_seeds_or_with_an_unknown_target_is_refused(small, wrong):
    with pytest.raises(RunError, match=rf"--{next(iter(wrong))} expects .*, but got .*; "):
        mnist_speed.experiment(small(**wrong))


def test_choosing_reads_the_last_training_images_and_never_the_test_images(small, monkeypatch):
    x = np.arange(300)[:, None, None, None]
    train, test = Split(x, x[:, 0, 0, 0]), Split(x[:5] + 1000, x[:5, 0, 0, 0])
    mnist = Dataset(train, test, name="mnist", classes=(), source="", checksums={})
    rest, held_out = divide(mnist, choose=True)
    assert rest.y.tolist() == [*range(200)] and held_out.y.tolist() == [*range(200, 300)]
    assert [len(split.y) for split in divide(mnist, choose=False)] == [300, 5]
    monkeypatch.setattr(mnist_speed, "measure", lambda *a: describe(TINY, 0.05, CURVES))
    result = result_of(small(choose=True))
    assert result["evaluated_on"] == "validation" and result["process_seconds"] == {}
    assert result["targets"]["0.05"]["proposed"]["widths"] == [[2]]


def test_a_target_that_a_seed_misses_has_no_time():
    row = describe(TINY, 0.99, CURVES)
    assert row["seconds_by_seed"] == [2.0, 2.5] and row["seconds_to_target"]["median"] == 2.25
    row = describe(TINY, 0.992, CURVES)
    assert row["seconds_by_seed"] == [None, 2.5] and row["seconds_to_target"] is None
    assert row["seeds_at_target"] == 1


def test_the_fastest_recipe_whose_mean_is_the_target_is_proposed():
    slow, fast = describe(TINY, 0.9, CURVES), describe(TINY._replace(epochs=1), 0.9, CURVES[:1])
    assert propose([slow, fast], 0.9)["proposed"]["epochs"] == 1
    assert propose([slow, fast], 0.992)["proposed"]["epochs"] == 2
    assert propose([slow, fast], 0.999)["proposed"] is None
