"""Experiments on time series: what they prepare, and small runs of both."""

import hashlib
import json

import jax
import numpy as np
import pytest

from experiments import forecast, series_recipe, time_series
from experiments.forecast_series import (
    as_dataset,
    autoregression,
    divide,
    ecg,
    persistence,
    synthetic,
)
from jaxnets import conv, dense, global_avg_pool, serial
from jaxnets.data import DataError, Series, Split, load_series
from jaxnets.data.series import catalogue
from jaxnets.data.series.catalogue import Archive, SeriesFile
from jaxnets.training import RunError


def made_series(lengths, channels=2, seed=0):
    rng, longest = np.random.default_rng(seed), max(lengths)
    values = rng.normal(3, 2, size=(len(lengths), longest, channels)).astype(np.float32)
    lengths = np.array(lengths, np.int32)
    values[np.arange(longest) >= lengths[:, None]] = 0
    return Series(values, lengths, np.arange(len(lengths), dtype=np.int32) % 2, ("a", "b"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a small set of two classes, which the catalogue knows as Waves."""
    rng, files = np.random.default_rng(0), []
    for name, cases in (("Waves_TRAIN.ts", 10), ("Waves_TEST.ts", 6)):
        rows = ["@classLabel true slow fast", "@data"]
        for case in range(cases):
            wave = np.sin((1 + case % 2) * np.arange(12) + rng.uniform(0, 6))
            rows.append(",".join(f"{v:.4f}" for v in wave) + ":" + ("slow", "fast")[case % 2])
        text = "\n".join(rows).encode()
        (tmp_path / name).write_bytes(text)
        files.append(SeriesFile(name, len(text), hashlib.sha256(text).hexdigest()))
    monkeypatch.setitem(catalogue.CATALOGUE, "Waves", Archive("Waves", *files))
    monkeypatch.setattr(time_series, "build", tiny)  # which compiles sooner
    return tmp_path


def tiny(network, classes, width, kernels):
    return serial(("relu3", conv(2, (3,))), ("pool", global_avg_pool), ("head", dense(classes)))


def test_every_series_is_stretched_as_numpy_interpolates():
    series = made_series([5, 9, 1])
    stretched = series_recipe.stretched(series, 7)
    for row, length in enumerate(series.lengths):
        at = np.linspace(0, length - 1, 7)
        for channel in range(2):
            expected = np.interp(at, np.arange(length), series.values[row, :length, channel])
            np.testing.assert_allclose(stretched[row, :, channel], expected, rtol=1e-5)


def test_the_scaling_is_that_of_the_training_values_without_padding(folder):
    series = made_series([4, 9, 6])
    dataset = load_series("Waves", data_dir=folder)._replace(train=series, test=series)
    prepared = series_recipe.prepare(dataset, longest=200)
    values = np.concatenate([series.values[i, :n] for i, n in enumerate(series.lengths)])
    expected = (series.values[1] - values.mean(0)) / values.std(0)
    np.testing.assert_allclose(prepared.train.x[1], expected, rtol=1e-4, atol=1e-5)
    other = dataset._replace(test=made_series([7, 7], seed=1))
    np.testing.assert_array_equal(series_recipe.prepare(other, 200).train.x, prepared.train.x)
    assert series_recipe.prepare(other, 200).test.x.shape == (2, 9, 2)
    assert series_recipe.prepare(other, 5).test.x.shape == (2, 5, 2)


def test_folds_have_equally_many_of_each_class():
    y = np.repeat([0, 1, 2], [10, 20, 6])
    counts = np.zeros((5, 3), int)
    np.add.at(counts, (series_recipe.folds(y, 5, seed=0), y), 1)
    assert np.ptp(counts, axis=0).max() <= 1


def test_the_lengths_of_the_kernels_are_those_of_the_fcn():
    params, _ = series_recipe.build("fcn", 2, 2, (7, 4, 1)).init(
        jax.random.key(0), np.ones((1, 9, 1))
    )
    shapes = [params[f"conv{i}"]["kernel"].shape for i in (1, 2, 3)]
    assert shapes == [(7, 1, 2), (4, 2, 4), (1, 4, 2)]
    with pytest.raises(RunError, match=r"--kernels expects \(8, 5, 3\) with --network resnet1d"):
        series_recipe.build("resnet1d", 2, 2, (7, 4, 1))


def test_a_small_run_writes_results_and_the_evidence(folder):
    options = {"sets": ("Waves",), "steps": 3, "batch_size": 4, "seeds": 2}
    config = time_series.Config(data_dir=folder, out=folder / "out", **options)
    time_series.experiment(config)
    result = json.loads((folder / "out" / "result.json").read_text(encoding="utf-8"))
    row = result["sets"]["Waves"]
    assert row["test_accuracy"]["n"] == 2 and len(row["by_seed"]) == 2
    assert row["cases"] == [10, 6] and row["cpu_seconds"] > 0 and result["processor"]
    assert (folder / "out" / "Waves" / "evidence.png").read_bytes().startswith(b"\x89PNG")


def test_cross_validation_never_sees_the_test_split(folder, monkeypatch):
    (folder / "Waves_TEST.ts").write_bytes(b"@classLabel true slow fast\n@data\n9,9:fast\n")
    text = (folder / "Waves_TEST.ts").read_bytes()
    known = catalogue.CATALOGUE["Waves"]
    test = known.test._replace(size=len(text), sha256=hashlib.sha256(text).hexdigest())
    monkeypatch.setitem(catalogue.CATALOGUE, "Waves", known._replace(test=test))
    options = {"sets": ("Waves",), "steps": 2, "batch_size": 4, "seeds": 1}
    config = time_series.Config(data_dir=folder, out=folder / "out", folds=2, **options)
    time_series.experiment(config)
    result = json.loads((folder / "out" / "result.json").read_text(encoding="utf-8"))
    assert set(result["sets"]["Waves"]) == {"validation_accuracy", "cpu_seconds"}


def test_the_synthetic_series_obeys_its_equation():
    x = synthetic(400)
    assert x.shape == (400,) and x.min() > 0.2 and x.max() < 1.5
    change, late = (x[18:] - x[16:-2]) / 2, x[: len(x) - 18]
    expected = 0.2 * late / (1 + late**10) - 0.1 * x[17:-1]
    assert np.abs(change - expected).max() < 0.02


def test_the_parts_of_a_series_do_not_overlap_and_the_first_scales_all():
    series = np.arange(100.0)
    parts = divide(series, past=3, future=2, validation=20)
    scaled = (series - np.arange(50).mean()) / np.arange(50).std()
    for split, first, last in zip(parts, (0, 50, 70), (49, 69, 99), strict=True):
        np.testing.assert_allclose(split.x[0, 0, 0], scaled[first], rtol=1e-5)
        np.testing.assert_allclose(split.y[-1, -1, 0], scaled[last], rtol=1e-5)


def test_the_simple_forecasts_are_the_last_value_and_least_squares():
    wave = np.sin(0.3 * np.arange(60))[:, None]
    parts = divide(wave[:, 0], past=4, future=3, validation=10)
    np.testing.assert_array_equal(persistence(parts.test.x, 3)[:, 2], parts.test.x[:, -1])
    forecast = autoregression(parts.train, parts.test.x)
    np.testing.assert_allclose(forecast, parts.test.y, atol=1e-3)  # a sine is linear in its past


def test_the_electrocardiogram_needs_its_file(tmp_path):
    with pytest.raises(DataError, match=r"--series ecg expects a folder .*--data-dir"):
        ecg(None)
    with pytest.raises(DataError, match="cannot be read"):
        ecg(tmp_path)
    (tmp_path / "ecg_mitbih208.npz").write_bytes(b"not it")
    with pytest.raises(DataError, match="does not have the SHA-256"):
        ecg(tmp_path)


def test_the_quantile_loss_is_smallest_at_the_quantiles():
    y = np.random.default_rng(0).uniform(0, 1, (2000, 1, 1)).astype(np.float32)
    grid = np.linspace(0, 1, 21)
    best = []
    for number, _ in enumerate(forecast.QUANTILES):
        guess = np.tile(np.float32([0.05, 0.5, 0.95]), (len(y), 1, 1))
        values = []
        for value in grid:
            guess[..., number] = value
            values.append(float(forecast.pinball(guess, y).mean()))
        best.append(grid[int(np.argmin(values))])
    np.testing.assert_allclose(best, forecast.QUANTILES, atol=0.051)


def test_a_forecast_depends_on_every_past_value():
    past = 8
    model = forecast.causal_network(2, width=1, past=past)
    x = np.ones((1, past, 1), np.float32)
    params, _ = jax.eval_shape(model.init, jax.random.key(0), x)
    ones = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), params)
    gradient = jax.jit(jax.grad(lambda x: model.apply(ones, {}, x)[0].sum()))(x)
    assert (np.asarray(gradient) > 0).all()


def test_a_small_forecast_writes_errors_and_figures(tmp_path, monkeypatch):
    options = {"values": 200, "past": 8, "future": 2, "width": 2, "validation": 20, "epochs": 1}
    forecast.experiment(forecast.Config(out=tmp_path / "out", **options))
    result = json.loads((tmp_path / "out" / "result.json").read_text(encoding="utf-8"))
    assert set(result["simple"]) == {"persistence", "linear autoregression"}
    assert 0 <= result["coverage_of_90_percent"] <= 1
    for name in ("forecast.png", "errors.png"):
        assert (tmp_path / "out" / name).read_bytes().startswith(b"\x89PNG")


def test_a_series_is_recorded_with_its_checksum():
    dataset = as_dataset("synthetic", synthetic(20))
    assert dataset.name == "synthetic" and len(dataset.checksums["series"]) == 64
    assert isinstance(dataset.train, Split)
