"""An experiment writes all of its files, and its results are those of the saved parameters."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import configs, mnist_cnn, mnist_mlp, runner, study
from experiments.folder import load_params
from jaxnets import data, load_model, losses, models, scale_pixels, serial
from jaxnets.training import evaluate

ROOT = Path(runner.__file__).parents[1]
PLOTS = {"confusion.png", "curves.png"}
FILES = PLOTS | {"checkpoints", "metrics.jsonl", "params.safetensors", "result.json"}
FILES |= {"model.jaxnets", "report.html", "run.json", "run.lock"}
RESULT = {"test_accuracy", "test_loss", "steps", "interrupted"}
RESULT |= {"compile_seconds", "train_seconds", "total_seconds", "samples_per_second"}
SAVED = "interrupted; the run is saved, --resume continues it\n"
SMALL = {"batch_size": 60, "validation": 40}  # ten steps per epoch


def start(name, **options):
    """Start the experiment in its own process, with pipes for stdout and stderr."""
    arguments = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
    command = [sys.executable, "-m", f"experiments.{name}", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=ROOT, text=True, **pipes)


def content(folder, name):
    return json.loads((folder / name).read_text())


def checked_result(folder, model, dataset):
    """Check that all files exist and that the saved parameters have the result; return it."""
    assert {path.name for path in folder.iterdir()} == FILES
    assert all((folder / name).read_bytes()[1:4] == b"PNG" for name in PLOTS)
    result, train_step = content(folder, "result.json"), study.train_step(model, optax.identity())
    found = evaluate(train_step, load_params(folder), dataset.test)
    assert result.keys() == RESULT
    assert result["test_accuracy"] == found["accuracy"]
    loaded = load_model(folder / "model.jaxnets")
    right = loaded.predict(dataset.test.x) == np.array(dataset.classes)[dataset.test.y]
    assert loaded.metadata["test_accuracy"] == result["test_accuracy"]
    assert right.mean() == pytest.approx(result["test_accuracy"], abs=1e-3)
    assert result["test_loss"] == pytest.approx(found["loss"], rel=1e-5)
    *_, last = (folder / "metrics.jsonl").read_text().splitlines()
    assert json.loads(last)["step"] == result["steps"]
    return result


def test_a_run_on_mnist_learns_and_writes_all_files(tmp_path, cache):
    options = {"epochs": 1, "batch_size": 128, "seed": 3, "out": str(tmp_path / "new" / "run")}
    options |= {"validation": 45_000}  # leaves enough to learn
    process = start("mnist_mlp", **options)
    printed, errors = process.communicate(timeout=300)
    assert (process.returncode, errors) == (0, "")
    assert any(cache.iterdir())  # so that a second run does not compile

    folder = Path(options["out"])
    result = checked_result(folder, mnist_mlp.model, data.load("mnist"))
    assert result["test_accuracy"] > 0.9
    assert (result["steps"], result["interrupted"]) == (15000 // 128, False)

    began, epoch, end, where = printed.splitlines()
    assert options["out"] in began and options["out"] in where
    assert epoch.startswith("epoch 1/1  loss ")
    assert end.startswith(f"test accuracy {result['test_accuracy']:.2%}, loss ")

    run = content(folder, "run.json")
    assert run["config"].items() >= options.items()
    assert run["data"]["source"] == "packaged with jaxnets"
    assert run["versions"].keys() >= {"jaxnets", "jax", "optax"}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_a_run_that_a_signal_ends_is_saved(tmp_path, small_mnist, number, status):
    options = {"epochs": 10**6, "data_dir": small_mnist, "out": tmp_path / "run", **SMALL}
    process = start("mnist_mlp", **options)
    while not process.stdout.readline().startswith("epoch "):
        assert process.poll() is None, process.stderr.read()
    process.send_signal(number)
    errors = process.communicate(timeout=120)[1]
    assert (process.returncode, errors) == (status, SAVED)
    dataset = data.load("mnist", data_dir=small_mnist)
    result = checked_result(tmp_path / "run", mnist_mlp.model, dataset)
    assert result["interrupted"]
    assert 0 < result["steps"] < 10**7


def test_a_run_with_running_statistics_is_saved_with_them(tmp_path, small_mnist, monkeypatch):
    small = serial(scale_pixels(), ("cnn", models.small_cnn(10, [(3,)])))  # compiles quickly
    monkeypatch.setattr(mnist_cnn, "model", small)
    config = mnist_cnn.Config(epochs=1, data_dir=small_mnist, out=tmp_path / "run", **SMALL)
    mnist_cnn.experiment(config)
    assert jax.tree.leaves(load_params(config.out).model_state)
    result = checked_result(config.out, small, data.load("mnist", data_dir=small_mnist))
    assert (result["steps"], result["interrupted"]) == (10, False)


@pytest.fixture(scope="module")
def losses_by_optimizer(small_mnist):
    """The loss of a linear classifier after each step of two epochs, with every optimizer."""
    train = data.load("mnist", data_dir=small_mnist).train
    x, y = train.x.reshape(10, 64, -1) / np.float32(255), train.y.reshape(10, 64)
    batches = jax.tree.map(lambda leaf: np.concatenate([leaf, leaf]), (x, y))

    def trained(optimizer):
        def step(carry, batch):
            (w, state), (x, y) = carry, batch
            loss, gradient = jax.value_and_grad(
                lambda w: losses.softmax_cross_entropy(x @ w, y).mean()
            )(w)
            update, state = optimizer.update(gradient, state, w)
            return (optax.apply_updates(w, update), state), loss

        w = jnp.zeros((28 * 28, 10))
        return jax.lax.scan(step, (w, optimizer.init(w)), batches)[1]

    def made(name):
        config = configs.RecipeConfig(optimizer=name, epochs=2, batch_size=64)
        return config.make_optimizer(config.hparams, len(train.x))

    return jax.jit(lambda: {name: trained(made(name)) for name in configs.OPTIMIZERS})()


@pytest.mark.parametrize("optimizer", configs.OPTIMIZERS)
def test_every_optimizer_learns_at_its_default_rate(losses_by_optimizer, optimizer):
    found = losses_by_optimizer[optimizer]
    assert found[10:].mean() < 0.9 * found[:10].mean()
