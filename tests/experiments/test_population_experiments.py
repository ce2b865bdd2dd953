"""Small runs of experiments with many networks: reported values are those of the networks."""

import json
import signal
from contextlib import nullcontext
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from matplotlib.figure import Figure

from experiments import (
    activations,
    capacity,
    figures,
    learning_rates,
    mnist_cnn,
    mnist_mlp,
    reports,
    runner,
    seeds,
    study,
)
from experiments.folder import load_params
from experiments.timings import population as timing
from jaxnets import data, dense, flatten, serial
from jaxnets.training import Interrupted, RunError, evaluate

pytestmark = pytest.mark.usefixtures("compile_quickly")


@pytest.fixture(scope="module")
def run(small_mnist, tmp_path_factory):
    """Run a study, check that its files contain its result, and return the result."""

    def run(script, **options):
        small = {"data_dir": small_mnist, "validation": 40, "examples": 600, "epochs": 2}
        small |= {"batch_size": 60, "strategy": "vmap"}
        small["out"] = tmp_path_factory.mktemp("study") / "new" / "run"
        config = script.Config(**small | options)
        returned = script.experiment(config)
        files = {"result.json", "result.png", "report.html", "run.json", "run.lock", "checkpoints"}
        assert {path.name for path in config.out.iterdir()} == files
        assert (config.out / "result.png").read_bytes().startswith(b"\x89PNG")
        assert json.loads((config.out / "result.json").read_text(encoding="utf-8")) == returned
        return returned

    return run


@pytest.mark.usefixtures("draw_nothing")
def test_many_seeds_of_an_experiment_are_reported_with_their_spread(
    small_mnist, tmp_path, monkeypatch, capsys
):
    folder, model = tmp_path / "run", serial(flatten, ("head", dense(10)))
    monkeypatch.setattr(mnist_mlp, "model", model)  # compiles quickly
    options = {"epochs": 1, "batch_size": 60, "validation": 40, "data_dir": small_mnist, "seed": 3}
    options["strategy"] = "vmap"  # measuring which is faster compiles both
    mnist_mlp.experiment(mnist_mlp.Config(seeds=2, out=folder, **options))
    assert {path.name for path in folder.iterdir()} == {
        "run.json",
        "run.lock",
        "metrics.jsonl",
        "result.json",
        "params.safetensors",
        "curves.png",
        "report.html",
        "checkpoints",
    }
    result = json.loads((folder / "result.json").read_text())
    saved = load_params(folder)
    test = data.load("mnist", data_dir=small_mnist).test
    train_step = study.train_step(model, optax.identity())
    found = [
        evaluate(train_step, jax.tree.map(lambda leaf, i=i: leaf[i], saved), test)["accuracy"]
        for i in (0, 1)
    ]
    assert result["members"]["accuracy"] == pytest.approx(found, abs=1e-6)
    assert result["members"]["seed"] == [3, 4]
    assert result["spread"]["accuracy"]["mean"] == pytest.approx(np.mean(found), abs=1e-6)
    assert result["spread"]["loss"]["best"] == min(result["members"]["loss"])
    assert result["ensemble"].keys() == {"average", "vote"}
    printed = capsys.readouterr().out
    assert f"2 networks by {result['strategy']} in " in printed
    assert "95 % interval" in printed and "calibration error of the average" in printed


@pytest.mark.parametrize("script", [mnist_mlp, mnist_cnn])
@pytest.mark.parametrize("n", [0, -1])
def test_a_number_of_seeds_below_1_is_refused(script, n, small_mnist, tmp_path):
    config = script.Config(seeds=n, data_dir=small_mnist, validation=40, out=tmp_path / "run")
    with pytest.raises(RunError, match=f"--seeds expects a positive integer, but got {n}"):
        script.experiment(config)


@pytest.fixture(scope="module")
def whole(compile_quickly, run):
    """The result of the study of seeds."""
    return run(seeds, seeds=2, hidden=4)


def test_an_interrupted_study_is_resumed_bit_for_bit(run, whole, monkeypatch, tmp_path):
    """SIGTERM is sent at the first report; the resumed study has the same results."""
    monkeypatch.setattr(runner, "console", lambda: nullcontext(terminate))
    folder = tmp_path / "cut"
    with pytest.raises(Interrupted):
        run(seeds, seeds=2, hidden=4, out=folder)
    assert not (folder / "result.json").exists()
    monkeypatch.undo()
    assert run(seeds, seeds=2, hidden=4, out=folder, resume=True) == whole
    with pytest.raises(RunError, match="hidden: saved 4, given 5"):
        run(seeds, seeds=2, hidden=5, out=folder, resume=True)


def terminate(progress):
    signal.raise_signal(signal.SIGTERM)


def test_a_member_that_diverged_has_no_metrics_and_no_vote(small_mnist):
    test = data.load("mnist", data_dir=small_mnist).test
    train_step = study.train_step(serial(flatten, ("head", dense(10))), optax.sgd(0.1))
    states = jax.vmap(lambda key: train_step.init(key, test.x[:1]))(runner.seed_keys(0, 3))
    fitted = SimpleNamespace(train_states=states, diverged=np.array([-1, 7, -1]), strategy="vmap")
    found, probabilities = reports.evaluate_members(train_step, fitted, test)
    assert np.isnan(found["accuracy"]).tolist() == [False, True, False]
    assert probabilities.shape == (2, len(test.y), 10)
    right = probabilities.argmax(-1) == test.y
    np.testing.assert_allclose(found["accuracy"][[0, 2]], right.mean(1), atol=1e-6)
    fitted.diverged = np.array([4, 7, 5])
    with pytest.raises(RunError, match="all 3 networks diverged, the first at step 4"):
        reports.evaluate_members(train_step, fitted, test)


def test_an_ensembles_accuracy_and_calibration_are_those_counted_by_hand():
    """Of four examples of class 0, the average predicts three correctly, the vote two."""
    sure, unsure = [0.95, 0.05], [0.35, 0.65]
    probabilities = np.array([[sure] * 3 + [unsure], [unsure] * 4, [unsure, sure, sure, unsure]])
    found = reports.ensembles(probabilities, np.zeros(4, int))
    assert found["average"]["accuracy"] == 0.75
    assert found["vote"]["accuracy"] == 0.5
    # confidences, in bins of 1/15: 0.55 once and 0.75 twice, all correct; 0.65 once, wrong
    by_hand = (abs(1 - 0.55) + 2 * abs(1 - 0.75) + abs(0 - 0.65)) / 4
    assert found["average"]["calibration_error"] == pytest.approx(by_hand, abs=1e-6)


def test_a_band_is_drawn_about_the_mean_of_members_that_did_not_diverge():
    axes = Figure().subplots()
    values = [[1.0, 3.0, np.nan], [2.0, 6.0, np.nan]]
    figures.band(axes, [1, 2], values, "loss", "C0")
    assert axes.lines[0].get_ydata().tolist() == [2.0, 4.0]
    outer = axes.collections[0].get_paths()[0].vertices
    assert set(outer[:, 1]) == {1.0, 3.0, 2.0, 6.0}


def test_the_spread_of_seeds_is_decomposed_into_images_and_networks():
    random = np.random.default_rng(0)
    by_image = random.uniform(0.5, 1, size=2000)  # how often each image is classified correctly
    same = seeds.sources(random.uniform(size=(400, 2000)) < by_image)
    assert same.observed == pytest.approx(same.images, rel=0.3)
    assert same.networks < 0.4 * same.images
    skill = random.normal(
        0, 0.02, size=(400, 1)
    )  # the accuracy of each network relative to the mean
    apart = seeds.sources(random.uniform(size=(400, 2000)) < by_image - 0.1 + skill)
    assert apart.networks == pytest.approx(0.02, rel=0.3)
    assert apart.observed**2 == pytest.approx(apart.networks**2 + apart.images**2)


def test_the_variance_due_to_images_is_that_of_the_residuals():
    right = np.random.default_rng(1).uniform(size=(5, 7)) < 0.6
    rest = right - right.mean(1, keepdims=True) - right.mean(0) + right.mean()
    expected = (rest**2).sum() / (4 * 6) / 7
    assert seeds.sources(right).images ** 2 == pytest.approx(expected)


def test_the_seeds_experiment_reports_every_network(whole):
    accuracies = whole["test_accuracies"]
    assert whole["test_accuracy"]["mean"] == pytest.approx(np.mean(accuracies))
    observed = whole["standard_deviations"]["observed"]
    assert observed == pytest.approx(np.std(accuracies, ddof=1), rel=1e-3)
    assert whole["best_in_validation"]["test_accuracy"] in accuracies


def test_a_low_rate_learns_less_and_a_high_rate_diverges(run):
    result = run(learning_rates, rates=5, lowest=1e-3, highest=1e5, hidden=(8,))
    # rates 1e-3, 0.1, 10, 1e3, 1e5, each constant and decaying
    diverged = result["diverged_at_step"]
    assert diverged["constant"][:2] == diverged["decayed"][:2] == [-1, -1]
    story = result["story"]
    assert story["right"]["learning_rate"] == pytest.approx(0.1)
    assert story["too low"]["learning_rate"] == pytest.approx(1e-3)
    assert story["too high"]["learning_rate"] > 1
    assert story["too low"]["training_loss"][-1] > story["right"]["training_loss"][-1]
    assert len(result["validation_loss"]["decayed"]) == 5


def test_an_invalid_sweep_of_rates_is_refused():
    with pytest.raises(RunError, match="0 < --lowest < --highest"):
        learning_rates.check(learning_rates.Config(lowest=1.0, highest=0.1))


def test_the_example_rates_are_chosen_by_their_losses():
    losses = np.array(
        [
            [[2.3, 2.3], [2.0, 1.0], [1.0, 0.1], [1.5, 3.0], [5.0, np.nan]],
            [[2.3, 2.3], [2.0, 1.5], [1.0, 0.3], [0.9, 0.2], [5.0, np.nan]],
        ]
    )
    rates = np.geomspace(1e-4, 1.0, 5)
    found = learning_rates.Sweep(rates, losses, losses[..., -1], np.full((2, 5), -1))
    assert learning_rates.pick_examples(found) == {
        "too low": (0, 0),
        "right": (0, 2),
        "too high": (0, 3),
        "decayed": (1, 3),
    }


def test_capacity_reports_every_width_in_its_order(run, monkeypatch):
    monkeypatch.setattr(capacity, "GROUPS", ((2, 8), (32,)))
    widths = run(capacity, seeds=2)["widths"]
    assert list(widths) == ["2", "8", "32"]
    accuracy = [widths[width]["training"]["accuracy"]["mean"] for width in widths]
    assert accuracy[0] < accuracy[2]
    assert all(w["validation"]["loss"]["n"] == 2 for w in widths.values())


def test_each_activation_is_reported_at_its_best_rate(run, monkeypatch):
    monkeypatch.setattr(activations, "ACTIVATIONS", {"tanh": jnp.tanh})
    found = run(activations, seeds=2, rates=(1e-6, 0.05), width=8, depth=1)["activations"]["tanh"]
    assert found["learning_rate"] == 0.05
    losses = found["validation_loss_by_rate"]
    assert losses[1] < losses[0]
    assert np.mean(found["loss"][-1]) == pytest.approx(losses[1])
    assert found["test_accuracy"]["n"] == 2


@pytest.mark.parametrize("examples", [0, -5, 601])
def test_too_many_examples_are_refused(small_mnist, examples):
    config = study.Config(data_dir=small_mnist, validation=40, examples=examples)
    with pytest.raises(RunError, match=f"from 1 to 600, since 40 .* but got {examples}"):
        study.start("study", config)


def test_every_method_and_every_size_is_timed(small_mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(timing, "in_turn", lambda them, n: {k: [run()] for k, run in them.items()})
    # finding the faster strategy compiles both, and is tested elsewhere
    monkeypatch.setattr("jaxnets.training.population.fit.fastest", lambda run, hparams: "vmap")
    options = {"networks": 2, "members": 1, "examples": 120, "batch_size": 60}
    out = tmp_path / "new" / "population.json"
    timing.main(timing.Config(data_dir=small_mnist, out=out, **options))
    result = json.loads(out.read_text())
    methods = result["quartiles of the rounds"]
    assert methods["one after another"]["updates"]["times faster"] == [1, 1, 1]
    assert len(methods) == 3 and result["updates"] == 2
    assert list(result["by size, shared batches"]) == ["1"]
    for timings in methods.values():
        assert timings["everything"]["seconds"][1] > timings["updates"]["seconds"][1] > 0
