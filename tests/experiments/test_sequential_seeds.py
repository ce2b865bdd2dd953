"""Seeds one after another: each is a run, and resuming repeats no finished seed."""

import json
import signal
from contextlib import nullcontext

import numpy as np
import optax
import pytest
from counting import abstract, count

from experiments import configs, fashion_cnn, mnist_record, runner, sequential_seeds
from experiments.folder import load_params
from jaxnets import data, dense, flatten, losses, metrics, scale_pixels, serial
from jaxnets.training import Interrupted, RunError, loop, make_train_step, predict_proba

SMALL = {"batch_size": 60, "validation": 40}  # ten steps per epoch
MODEL = serial(scale_pixels(), flatten, ("head", dense(10)))
pytestmark = pytest.mark.usefixtures("draw_nothing")
TRAIN_STEP = make_train_step(
    MODEL,
    optax.adam(0.01),
    losses.softmax_cross_entropy,
    metrics={"accuracy": metrics.accuracy},
)


def train_step(hparams):
    del hparams  # unused: the rate is constant
    return TRAIN_STEP


@pytest.fixture
def run(small_mnist, tmp_path):
    """Train some seeds of a linear classifier; return the run's folder."""
    dataset = data.load("mnist", data_dir=small_mnist)

    def run(out="run", **options):
        config = configs.RecipeConfig(out=tmp_path / out, **SMALL, **options)
        splits = data.train_test_split(dataset.train, config.validation, seed=0)
        sequential_seeds.fit(runner.Run("linear", config, dataset), train_step, *splits)
        return tmp_path / out

    return run


def content(folder):
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def test_each_seed_writes_a_run_and_all_are_reported(run, small_mnist, capsys):
    folder = run(epochs=1, seed=3, seeds=3)
    result, test = content(folder), data.load("mnist", data_dir=small_mnist).test
    members = []
    for seed, reported in zip((3, 4, 5), result["by_seed"], strict=True):
        assert reported == {"seed": seed, **content(folder / f"seed{seed}")}
        members.append(predict_proba(TRAIN_STEP, load_params(folder / f"seed{seed}"), test.x))
        assert reported["test_accuracy"] == pytest.approx(np.mean(members[-1].argmax(-1) == test.y))
    accuracies = [reported["test_accuracy"] for reported in result["by_seed"]]
    assert len({reported["test_loss"] for reported in result["by_seed"]}) == 3
    assert result["test_accuracy"]["mean"] == pytest.approx(np.mean(accuracies))
    assert result["test_accuracy"]["std"] == pytest.approx(np.std(accuracies, ddof=1))
    ensemble = np.mean(np.mean(members, 0).argmax(-1) == test.y)
    assert result["ensemble"]["average"]["accuracy"] == pytest.approx(ensemble)
    seconds = np.mean([reported["train_seconds"] for reported in result["by_seed"]])
    assert result["train_seconds_a_seed"] == pytest.approx(seconds)
    assert result["cores"] >= 1
    lines = [line for line in capsys.readouterr().out.splitlines() if " of 3 seeds: " in line]
    assert [line[0] for line in lines] == ["1", "2", "3"]


def test_resuming_repeats_no_seed_and_continues_one_bit_for_bit(run, monkeypatch):
    whole = run(out="whole", epochs=2, seeds=2)
    with monkeypatch.context() as patched:
        reporters = iter([lambda progress: None, terminate])
        patched.setattr(runner, "console", lambda: nullcontext(next(reporters)))
        with pytest.raises(Interrupted):
            run(epochs=2, seeds=2)
    cut = whole.with_name("run")
    assert [reported["seed"] for reported in content(cut)["by_seed"]] == [0]
    assert content(cut / "seed1")["interrupted"]
    ready, left_at = content(cut / "seed0"), content(cut / "seed1")["steps"]

    made, advance = [], loop.advance

    def counted(run, stop, hparams):
        after, progress = advance(run, stop, hparams)
        made.append(after.step - run.step)
        return after, progress

    monkeypatch.setattr(loop, "advance", counted)
    run(epochs=2, seeds=2, resume=True)
    assert 0 < sum(made) == 20 - left_at
    assert content(cut / "seed0") == ready
    for seed in ("seed0", "seed1"):
        first, second = ((out / seed / "params.safetensors").read_bytes() for out in (whole, cut))
        assert first == second
    for name in ("test_accuracy", "ensemble"):
        assert content(cut)[name] == content(whole)[name]


def terminate(progress):
    signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("script", [mnist_record, fashion_cnn])
def test_the_network_has_the_kernels_of_the_docstring(script):
    a, b, c = 32, 64, 128
    params, state = abstract(script.model, 28, 28, 1)
    kernels = 9 * (a + a * b + b * b + b * c + c * c)
    assert count(state) == 2 * (a + 2 * b + 2 * c)
    assert count(params) == 289_130 == kernels + count(state) + (9 * c + 1) * 10


@pytest.mark.parametrize("script", [mnist_record, fashion_cnn])
def test_the_script_trains_and_reports_its_test_accuracy(
    script, monkeypatch, small_mnist, tmp_path
):
    monkeypatch.setattr(script, "model", MODEL)  # compiles quickly
    script.experiment(script.Config(epochs=1, data_dir=small_mnist, out=tmp_path, **SMALL))
    (result,) = content(tmp_path)["by_seed"]
    assert result["steps"] == 10 and 0 < result["test_accuracy"] < 1


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
    options = {"data_dir": small_mnist, "out": tmp_path / "run", **SMALL, **options}
    with pytest.raises(RunError, match=message):
        script.experiment(script.Config(**options))


def test_other_options_are_refused_when_a_run_is_resumed(run):
    run(epochs=1, seeds=1)
    with pytest.raises(RunError, match="seeds: saved 1, given 2"):
        run(epochs=1, seeds=2, resume=True)
