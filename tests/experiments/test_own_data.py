"""Experiments on a user's own pictures and tables, in small runs."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from experiments import own_images, own_table
from experiments.folder import load_params
from jaxnets import load_model, losses, metrics, models
from jaxnets.data import DataError
from jaxnets.training import RunError, evaluate, make_train_step


@pytest.fixture
def pictures(tmp_path):
    """Thirty bright and twenty dark pictures."""
    rng = np.random.default_rng(0)
    for name, low, count in (("bright", 150, 30), ("dark", 0, 20)):
        (tmp_path / "pictures" / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(low, low + 100, (9, 12, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pictures" / name / f"{number}.png")
    return tmp_path / "pictures"


@pytest.fixture
def table(tmp_path):
    """Sixty rows whose price is a function of the rooms, and cheap where it is below its mean."""
    rng = np.random.default_rng(0)
    rooms, kind = rng.integers(1, 9, 60), rng.choice(["flat", "house"], 60)
    price = 1000.0 * rooms + 500.25 * (kind == "house")
    with open(tmp_path / "homes.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["rooms", "kind", "price", "cheap"])
        writer.writerows(zip(rooms, kind, price, price < price.mean(), strict=True))
    return tmp_path / "homes.csv"


def content(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_a_folder_of_pictures_is_learned_and_its_run_has_all_that_predicting_needs(
    pictures, tmp_path, monkeypatch
):
    monkeypatch.setattr(own_images, "WIDTHS", (4,))
    out, options = (
        tmp_path / "run",
        {"size": 8, "epochs": 8, "batch_size": 4, "learning_rate": 0.02},
    )
    own_images.experiment(own_images.Config(data=pictures, out=out, **options))
    model = load_model(out / "model.jaxnets")
    assert model.predict(pictures / "dark" / "0.png") == ["dark"]
    result = content(out / "result.json")
    assert result["test_accuracy"] == 1.0
    assert {"curves.png", "confusion.png"} <= {path.name for path in out.iterdir()}
    assert content(out / "run.json")["data"]["source"].startswith("50 images in ")


@pytest.mark.usefixtures("draw_nothing")
def test_a_table_is_classified_and_its_run_has_the_encoding(table, tmp_path):
    out, options = tmp_path / "run", {"hidden": (8,), "epochs": 20, "batch_size": 8}
    config = own_table.Config(data=table, target="cheap", drop=("price",), out=out, **options)
    own_table.experiment(config)
    model, dataset = load_model(out / "model.jaxnets"), own_table.load(config)
    assert model.preprocess == dataset.preprocess
    assert list(model.classes) == ["false", "true"]
    step = make_train_step(
        models.mlp((8, 2)), config.make_optimizer({"learning_rate": 0.1}, 1),
        losses.softmax_cross_entropy, metrics={"accuracy": metrics.accuracy},
    )  # fmt: skip
    accuracy = evaluate(step, load_params(out), dataset.test)["accuracy"]
    assert content(out / "result.json")["test_accuracy"] == accuracy > 0.7


@pytest.mark.usefixtures("draw_nothing")
def test_a_regression_reports_its_error_in_the_unit_of_the_target(table, tmp_path, capsys):
    out, options = (
        tmp_path / "run",
        {"hidden": (8,), "epochs": 20, "batch_size": 8, "learning_rate": 0.03},
    )
    config = own_table.Config(data=table, target="price", drop=("cheap",), out=out, **options)
    own_table.experiment(config)
    result, dataset = content(out / "result.json"), own_table.load(config)
    prices = dataset.preprocess.decode(dataset.test.y)
    explained = 1 - result["test_rmse"] ** 2 / prices.var()
    assert result["test_r2"] == pytest.approx(explained, rel=1e-4)
    assert "in units of price" in capsys.readouterr().out
    predicted = load_model(out / "model.jaxnets").predict({"rooms": 8, "kind": "flat"})
    assert predicted.item() == pytest.approx(8000, rel=0.2)


def test_missing_or_damaged_data_are_reported_before_a_run_starts(pictures, tmp_path):
    with pytest.raises(RunError, match=r"own_images expects the folder .*; pass --data"):
        own_images.load(own_images.Config())
    with pytest.raises(RunError, match=r"pass --data loans\.csv --target approved"):
        own_table.load(own_table.Config())
    (pictures / "dark" / "notes.txt").write_text("dark")
    with pytest.raises(DataError, match=r"dark/notes\.txt \(it is not an image"):
        own_images.load(own_images.Config(data=pictures))
    with pytest.warns(UserWarning, match=r"1 of 51 files in .* are skipped"):
        skipped = own_images.load(own_images.Config(data=pictures, skip_damaged=True, size=8))
    assert skipped.source.endswith(", 1 damaged files skipped")
