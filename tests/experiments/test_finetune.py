"""Fine-tuning against training from scratch, in a small run."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from PIL import Image
from scipy import stats

from experiments import finetune, finetune_training
from experiments.finetune import Config
from experiments.finetune_training import Trial
from jaxnets import data
from jaxnets.data import DataError, Split
from jaxnets.training import RunError


@pytest.fixture
def found(small_mnist, tmp_path, monkeypatch, capsys):
    """One direction, one trial from scratch and two of fine-tuning: the result and the output."""
    sets = dict.fromkeys(("MNIST", "Fashion-MNIST"), data.load("mnist", data_dir=small_mnist))
    methods = {
        "from scratch": [Trial(False, 0.01, 1.0)],
        "fine-tuned": [Trial(True, 0.0, 1.0), Trial(True, 0.01, 0.5)],
    }
    monkeypatch.setattr(finetune, "load", lambda config: sets)
    monkeypatch.setattr(finetune, "METHODS", methods)
    monkeypatch.setattr(finetune, "DIRECTIONS", finetune.DIRECTIONS[-1:])
    monkeypatch.setattr(finetune_training, "STAGES", {"stage1": 4})
    monkeypatch.setattr(finetune, "CHOOSING", (1000,))
    small = {"images": (2,), "seeds": 2, "updates": 6, "batch_size": 20, "validation": 40}
    finetune.experiment(Config(**small, pretraining_epochs=6, out=tmp_path / "run"))
    assert (tmp_path / "run" / "finetune.png").read_bytes()[1:4] == b"PNG"
    result = json.loads((tmp_path / "run" / "result.json").read_text(encoding="utf-8"))
    return result["results"]["nine digits, then MNIST"]["2"], capsys.readouterr().out


def test_both_methods_are_compared_seed_by_seed_on_the_same_images(found):
    result, printed = found
    scratch, finetuned = (np.array(result[method]["by_seed"]) for method in finetune.METHODS)
    assert len(scratch) == 2 and set(scratch) != set(finetuned)
    difference = result["difference"]
    np.testing.assert_allclose(difference["by_seed"], finetuned - scratch)
    interval = stats.ttest_rel(finetuned, scratch).confidence_interval(0.95)
    np.testing.assert_allclose(difference["interval"], interval, rtol=1e-6)
    assert result["fine-tuned"]["trial"] == Trial(True, 0.01, 0.5)._asdict()
    assert f"difference {100 * difference['mean']:+.2f} points" in printed


def test_each_seed_pretrains_a_network_of_its_own(monkeypatch):
    monkeypatch.setattr(finetune_training, "STAGES", {"stage1": 4})
    x = np.random.default_rng(0).integers(0, 256, (40, 28, 28, 1), np.uint8)
    split = Split(x, np.arange(40) % 10)
    trained = finetune_training.pretrain(Config(), split, [0, 1]).params["head"]["bias"]
    assert (np.abs(trained) > 1e-5).any(1).all()  # they start at 0
    assert not np.array_equal(*trained)


def test_few_images_have_equal_classes_and_are_sampled_by_seed_and_repeated():
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(3), 20))
    split = Split(np.arange(60), y)
    rows, labels = finetune_training.few(split, 4, 30, seed=1)
    assert np.unique(rows[:12]).size == 12
    assert np.bincount(labels[:12]).tolist() == [4, 4, 4]
    assert (rows[12:24] == rows[:12]).all() and (labels == y[rows]).all()
    assert set(finetune_training.few(split, 4, 30, seed=2).x) != set(rows)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"images": (10, 21)}, r"images expects 1 to 20 per class, but got \(10, 21\)"),
        ({"updates": 2}, "images expects 1 to 10 per class"),
        ({"seeds": 1}, "--seeds expects at least 2, for an interval, but got 1"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(options, message):
    split = Split(np.zeros(200), np.repeat(np.arange(10), 20))
    with pytest.raises(RunError, match=message):
        finetune.check(Config(**({"images": (20,)} | options)), [split])


def test_without_fashion_mnist_the_error_says_which_files_it_needs(tmp_path):
    with pytest.raises(DataError, match=r"Put these four files(.|\n)*train-images-idx3-ubyte"):
        finetune.load(Config(data_dir=tmp_path))


def test_a_folder_of_pictures_takes_the_place_of_fashion_mnist(small_mnist, tmp_path, monkeypatch):
    digits = data.load("mnist", data_dir=small_mnist)
    for label, pixels in zip(digits.test.y, digits.test.x, strict=True):
        if label < 3:
            folder = tmp_path / "signs" / f"sign {label}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels[..., 0]).save(folder / f"{len([*folder.iterdir()])}.png")
    monkeypatch.setattr(finetune.data, "load", lambda name, **options: digits)
    monkeypatch.setattr(finetune, "pretrain", lambda config, split, seeds: np.arange(len(seeds)))
    config = Config(data=tmp_path / "signs", images=(2,), seeds=2, updates=9, validation=40)
    [(direction, task)] = finetune.tasks(config, finetune.load(config), set())
    assert direction == "MNIST, then pictures of signs"
    assert [len(np.unique(split.y)) for split in (task.train, task.validation, task.test)] == [
        3
    ] * 3
    assert task.train.x.shape[1:] == (28, 28, 1)
    step = task.train_step({"learning_rate": 0.1, "decay": 1.0})
    params = jax.eval_shape(step.init, jax.random.key(0), task.train.x[:1]).params
    assert params["head"]["bias"].shape == (3,)
    with pytest.raises(RunError, match=r"--images expects 1 to \d+ per class, but got \(1000,\)"):
        next(iter(finetune.tasks(replace(config, images=(1000,)), finetune.load(config), set())))
