"""Seeds one after another: each is a run of its own, and resuming redoes none of them."""

import json
import signal
from contextlib import nullcontext

import numpy as np
import pytest
from counting import abstract, count

from experiments import common, fashion_cnn, mnist_record
from jaxnets import data, models
from jaxnets.interop import safetensors
from jaxnets.training import Interrupted, RunError, predict_proba
from jaxnets.training.program import Program

SMALL = {"batch_size": 60, "validation": 40}  # ten steps an epoch


def content(folder):
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


@pytest.fixture
def run(unoptimised, monkeypatch, small_mnist, tmp_path):
    """Run mnist_record with three kernels; return its folder."""
    monkeypatch.setattr(mnist_record, "model", models.small_cnn(10, [(3,)]))

    def run(out="run", **options):
        how = {"data_dir": small_mnist, "out": tmp_path / out, **SMALL, **options}
        mnist_record.experiment(mnist_record.Config(**how))
        return tmp_path / out

    return run


def test_each_seed_leaves_a_run_and_all_are_reported_alone_and_together(run, small_mnist, capsys):
    folder = run(epochs=1, seed=3, seeds=3)
    result, test = content(folder), data.load("mnist", data_dir=small_mnist).test
    members = []
    for seed, told in zip((3, 4, 5), result["by_seed"], strict=True):
        assert told == {"seed": seed, **content(folder / f"seed{seed}")}
        saved = safetensors.load(folder / f"seed{seed}" / "params.safetensors")
        members.append(predict_proba(mnist_record.model, saved["params"], saved["state"], test.x))
        assert told["test_accuracy"] == pytest.approx(np.mean(members[-1].argmax(-1) == test.y))
    accuracies = [told["test_accuracy"] for told in result["by_seed"]]
    assert len({told["test_loss"] for told in result["by_seed"]}) == 3
    assert result["test_accuracy"]["mean"] == pytest.approx(np.mean(accuracies))
    assert result["test_accuracy"]["std"] == pytest.approx(np.std(accuracies, ddof=1))
    together = np.mean(np.mean(members, 0).argmax(-1) == test.y)
    assert result["ensemble"]["average"]["accuracy"] == pytest.approx(together)
    assert result["cores"] >= 1 and result["train_seconds_a_seed"] > 0
    lines = [line for line in capsys.readouterr().out.splitlines() if " of 3 seeds: " in line]
    assert [line[0] for line in lines] == ["1", "2", "3"]


def test_resuming_redoes_no_seed_and_goes_on_within_one_bit_for_bit(run, monkeypatch):
    whole = run("whole", epochs=2, seeds=2)
    with monkeypatch.context() as patched:
        reporters = iter([lambda progress: None, terminate])
        patched.setattr(common, "console", lambda: nullcontext(next(reporters)))
        with pytest.raises(Interrupted):
            run(epochs=2, seeds=2)
    cut = whole.with_name("run")
    assert [told["seed"] for told in content(cut)["by_seed"]] == [0]
    assert content(cut / "seed1")["interrupted"]

    stops, advance = [], Program.advance
    monkeypatch.setattr(Program, "advance", lambda *a: stops.append(a[2]) or advance(*a))
    run(epochs=2, seeds=2, resume=True)
    assert (
        stops.count(20) == 1 and min(stops) > 1
    )  # the first seed makes no step, the second goes on
    for seed in ("seed0", "seed1"):
        first, second = ((out / seed / "params.safetensors").read_bytes() for out in (whole, cut))
        assert first == second
    for name in ("test_accuracy", "ensemble"):
        assert content(cut)[name] == content(whole)[name]


def terminate(progress):
    signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("script", [mnist_record, fashion_cnn])
@pytest.mark.parametrize(
    "options, message",
    [
        ({"seeds": 0}, "--seeds expects a positive integer, but got 0"),
        ({"batch_size": 601}, "use at most 600"),
    ],
    ids=str,
)
def test_numbers_that_do_not_fit_are_refused(script, options, message, small_mnist, tmp_path):
    how = {"data_dir": small_mnist, "out": tmp_path / "run", **SMALL, **options}
    with pytest.raises(RunError, match=message):
        script.experiment(script.Config(**how))


@pytest.mark.parametrize(
    "script, widths", [(mnist_record, (24, 48, 96)), (fashion_cnn, (32, 64, 128))]
)
def test_the_network_is_the_one_that_is_told_and_trains(
    script, widths, small_mnist, tmp_path, unoptimised
):
    a, b, c = widths
    params, state = abstract(script.model, 28, 28, 1)
    kernels = 9 * (a + a * b + b * b + b * c + c * c)
    assert count(state) == 2 * (a + 2 * b + 2 * c)
    assert count(params) == kernels + count(state) + (9 * c + 1) * 10
    folder = tmp_path / "run"
    script.experiment(script.Config(epochs=1, data_dir=small_mnist, out=folder, **SMALL))
    assert content(folder)["by_seed"][0]["steps"] == 10
