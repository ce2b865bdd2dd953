"""The log of an interrupted and resumed run is that of an uninterrupted one, except for times."""

import json
import signal
from contextlib import nullcontext
from dataclasses import dataclass
from typing import ClassVar

import jax.numpy as jnp
import optax
import pytest

from experiments import configs, runner
from experiments.run_digest import TIMES
from jaxnets import data, dense, flatten, losses, metrics, scale_pixels, serial
from jaxnets.training import make_train_step

STEPS = 10  # per epoch, which is one chunk


@dataclass(frozen=True)
class Config(configs.RecipeConfig):
    """Saves after every chunk, which is one epoch."""

    save_seconds: ClassVar[float] = 0.0
    chunk_seconds: ClassVar[float] = 1000.0


def train_step(hparams):
    """Plain descent with one step that is far too long, the 119th."""

    def rate(count):
        return jnp.where(count == 118, 30.0, hparams["learning_rate"])

    return make_train_step(MODEL, optax.sgd(rate), losses.softmax_cross_entropy, metrics=METRICS)


MODEL = serial(scale_pixels(), flatten, ("head", dense(10)))
METRICS = {"accuracy": metrics.accuracy}


@pytest.fixture
def trained(small_mnist, tmp_path, monkeypatch):
    """Train in a folder, saving after every epoch; send SIGTERM at the report of step `at`."""
    dataset = data.load("mnist", data_dir=small_mnist)
    train, validation = data.train_test_split(dataset.train, 40, seed=0)

    def trained(name, at=None, **options):
        def stop(progress):
            if progress.step == at:
                signal.raise_signal(signal.SIGTERM)

        monkeypatch.setattr(runner, "console", lambda: nullcontext(stop))
        config = Config(out=tmp_path / name, data_dir=small_mnist, learning_rate=0.01, **options)
        run = runner.Run("linear", config, dataset)
        run.fit(train_step, train, epochs=14, batch_size=60, validation=validation)
        assert (run.interrupted is None) == (at is None)
        return log(run.folder)

    return trained


def log(folder):
    """The lines of a log without times."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [{n: value for n, value in line.items() if n not in TIMES} for line in lines]


def damage(folder, step):
    path = folder / "checkpoints" / "training" / f"step-{step:08d}.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def test_a_resumed_log_is_that_of_the_uninterrupted_run_even_after_a_fallback(trained, tmp_path):
    whole = trained("whole")
    assert [line["step"] for line in whole] == list(range(STEPS, 141, STEPS))
    (warned,) = [line for line in whole if line["warnings"]]
    assert warned["step"] == 120 and "jumped" in warned["warnings"][0]

    for at, damaged in ((60, []), (110, [110]), (120, [120, 110]), (120, [])):
        name = f"cut at {at}, {len(damaged)} damaged"
        trained(name, at=at)
        for step in damaged:
            damage(tmp_path / name, step)
        if damaged:
            with pytest.warns(match="Falling back to"):
                assert trained(name, resume=True) == whole
        else:
            assert trained(name, resume=True) == whole


@pytest.mark.usefixtures("draw_nothing")
def test_a_populations_log_has_each_step_once_after_a_fallback(small_mnist, tmp_path):
    dataset = data.load("mnist", data_dir=small_mnist)
    splits = data.train_test_split(dataset.train, 40, seed=0)

    def trained(epochs, **options):
        sizes = {"epochs": epochs, "batch_size": 60, "seeds": 2, "strategy": "vmap"}
        config = Config(data_dir=small_mnist, out=tmp_path / "run", **sizes, **options)
        run = runner.Run("linear", config, dataset)
        result = run.fit(train_step, splits[0], seeds=2, validation=splits[1])
        run.finish(train_step, result)

    trained(3)
    damage(tmp_path / "run", 30)
    with pytest.warns(match="Falling back to"):
        trained(4, resume=True)
    assert [line["step"] for line in log(tmp_path / "run")] == [10, 20, 30, 40]
