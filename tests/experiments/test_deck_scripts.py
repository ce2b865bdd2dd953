"""Each deck's script runs its examples on a few digits and reports the results."""

import json
import signal
import sys
from contextlib import nullcontext
from dataclasses import replace

import pytest
from counting import abstract, count

from experiments import runner
from experiments.decks import fashion_seeds, s0, s1, s2, s3, s4, slides
from jaxnets import batch_norm, dense, flatten, scale_pixels, serial
from jaxnets.training import Checkpoints, Interrupted, RunError


@pytest.fixture
def run_script(small_mnist, tmp_path, capsys):
    """Run a script; return our results by name, the names of its pictures, and result.json."""

    def run_script(script, **options):
        small = {"data_dir": small_mnist, "out": tmp_path / "run", "validation": 40, "epochs": 1}
        config = script.Config(**small | options)
        script.experiment(config)
        rows = json.loads((config.out / "slides.json").read_text(encoding="utf-8"))
        printed = capsys.readouterr().out
        assert all(row["here"] in printed for row in rows)
        pictures = {path.stem for path in config.out.glob("*.png")}
        assert all(path.read_bytes()[1:4] == b"PNG" for path in config.out.glob("*.png"))
        result = json.loads((config.out / "result.json").read_text(encoding="utf-8"))
        return {row["what"]: row["here"] for row in rows}, pictures, result

    return run_script


LINEAR = serial(scale_pixels(), flatten, ("head", dense(10)))  # compiles quickly


def test_s0_trains_the_500_x_300_network_twice(run_script, monkeypatch):
    assert count(abstract(s0.model, 28, 28, 1)[0]) == 545_810
    monkeypatch.setattr(s0, "model", LINEAR)
    here, pictures, result = run_script(s0, batch_size=100, epochs=4)
    assert here["parameters"] == "7,850"  # those of the network in its place
    assert here["test accuracy, adam 0.001"] == f"{result['test_accuracy']:.4f}"
    assert float(here["test accuracy, adam 0.001"]) > 0.5
    assert float(here["test accuracy, SGD 0.1"]) > 0.2
    assert here["digits to train, to test"] == "640, 200"
    assert here["updates per epoch"] == "6 are one pass"
    assert pictures == {"perceptrons", "mistakes", "optimizers", "curves", "confusion"}


def test_s1_agrees_with_the_formula_of_the_slide_and_runs_scikit_learn(run_script, monkeypatch):
    monkeypatch.setattr(s1, "SLIDES_HIDDEN", ((3,),))  # compiles quickly
    here, pictures, result = run_script(s1, epochs=4, batch_size=50, examples=300, steps=40)
    assert here["the gradient of J"].startswith("the same to ")
    assert float(here["the gradient of J"].split()[-1]) < 1e-6
    assert float(here["accuracy on the two digits"]) > 0.8
    accuracies = {name: float(v) for name, v in here.items() if name.startswith("accuracy, ")}
    assert accuracies["accuracy, network 64"] == pytest.approx(result["test_accuracy"], abs=1e-4)
    assert accuracies["accuracy, SVM (RBF)"] > 0.7
    assert accuracies.keys() > {"accuracy, MLPClassifier 64", "accuracy, network 3"}
    assert pictures == {"logistic_regression", "roc", "curves", "confusion"}


def test_s1_runs_without_scikit_learn_and_prints_a_message(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    assert s1.scikit_learn(s1.Config(), None, None) == {}
    assert "scikit-learn is not installed" in capsys.readouterr().out


def terminate(progress):
    signal.raise_signal(signal.SIGTERM)


def test_s2_evaluates_every_few_updates_and_is_resumed_after_a_signal_bit_for_bit(
    run_script, small_mnist, tmp_path, monkeypatch, capsys, request
):
    params, state = abstract(s2.model, 28, 28, 1)
    assert (count(params), count(state)) == (180_880, 224)
    layers = scale_pixels(), flatten, ("norm", batch_norm()), ("head", dense(10))
    monkeypatch.setattr(s2, "model", serial(*layers))  # compiles quickly
    options = {"epochs": 2, "batch_size": 60, "validation_frequency": 7}
    here, pictures, whole = run_script(s2, **options)
    assert here["evaluations on the validation digits"] == "3"  # after 7, 14 and all 20 updates
    assert here["parameters, running statistics"] == "9,418, 1568"
    assert here["approve credit (synthetic rows)"].startswith("no (f = 0.")
    assert pictures == {"training-progress", "curves", "confusion"}

    request.getfixturevalue("draw_nothing")
    cut = s2.Config(out=tmp_path / "cut", data_dir=small_mnist, validation=40, **options)
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(runner, "console", lambda: nullcontext(terminate))
        s2.experiment(cut)
    assert Checkpoints(tmp_path / "cut" / "checkpoints" / "training").latest() == 7
    capsys.readouterr()
    s2.experiment(replace(cut, resume=True))
    found = json.loads((cut.out / "result.json").read_text(encoding="utf-8"))
    assert found["steps"] == whole["steps"]
    first, second = (
        (tmp_path / name / "params.safetensors").read_bytes() for name in ("run", "cut")
    )
    assert first == second
    lines = capsys.readouterr().out.splitlines()
    looks = [line.split()[:2] for line in lines if "  validation loss " in line]
    assert looks == [
        ["step", "14/20"],
        ["epoch", "2/2"],
    ]  # of three evaluations; the first was before the signal


@pytest.mark.parametrize("option", [{"validation_frequency": 0}, {"batch_size": 10**6}])
def test_s2_refuses_an_invalid_number_of_updates(run_script, option):
    with pytest.raises(RunError, match="expect"):
        run_script(s2, **option)


def test_s3_compares_regularizers_and_reports_a_spread(run_script, tmp_path, monkeypatch):
    monkeypatch.setattr(fashion_seeds, "RATES", (0.001, 0.003))
    monkeypatch.delitem(s3.REGULARIZERS, "none")
    monkeypatch.delitem(s3.REGULARIZERS, "L1 0.001")
    monkeypatch.delitem(s3.REGULARIZERS, "L2 0.001")
    monkeypatch.delitem(s3.REGULARIZERS, "batch norm")
    here, pictures, _ = run_script(s3, variant_epochs=2, seeds=1)
    assert here["parameters"] == "101,770"
    assert len(here["loss by epoch"].split()) == 1
    assert pictures == {"prediction", "variants", "curves", "confusion"}
    content = (tmp_path / "run" / "seeds.json").read_text(encoding="utf-8")
    results = json.loads(content)
    assert results["slide"]["test accuracy"] == 0.8824
    runs = results["runs"]
    assert [len(run["test accuracy"]) for run in runs.values()] == [1, 1, 1]
    decaying = [name for name in runs if name.startswith("Adam, cosine from ")]
    validated = runs[decaying[0]]["validation accuracy"]
    assert decaying == [f"Adam, cosine from {max(validated, key=validated.get)}, batch 32"]


def test_s4_finds_the_least_squares_line_and_runs_every_optimizer(run_script, monkeypatch):
    assert count(abstract(s4.lenet5, 28, 28, 1)[0]) == 61_706
    monkeypatch.setattr(s4, "lenet5", LINEAR)
    here, pictures, _ = run_script(s4, batch_size=60)
    assert float(here["w by gradient descent"].split()[-1]) < 1e-5
    assert float(here["w by SGD"].split()[-1]) < 0.1
    assert here["error of [14, 11, 16] for 3"] == "+0.1328"
    assert here["parameters of LeNet-5"] == "7,850"  # those of the network in its place
    steps = {name for name in here if name.startswith("steps down to F < 0.01, ")}
    assert len(steps) == 7 and here["steps down to F < 0.01, Adam"].isdigit()
    assert pictures == {"linear_regression", "optimizers", "kernels", "curves", "confusion"}


def test_a_standard_deviation_is_printed_only_for_several_values():
    assert slides.mean_and_std([0.5]) == "0.5000 (n = 1)"
    assert slides.mean_and_std([0.1, 0.3]) == "0.2000 +- 0.1414 (n = 2)"
