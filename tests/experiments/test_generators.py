"""Experiments without a classifier: an autoencoder, and a custom train step of two networks."""

import json
import signal
from contextlib import nullcontext

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import autoencoder, gan, runner
from jaxnets import data
from jaxnets.interop import safetensors
from jaxnets.training import Interrupted

SCRIPTS = pytest.mark.parametrize("script", [autoencoder, gan])


@pytest.fixture
def run(small_mnist, tmp_path):
    """Run a script for 20 steps; return its result and the bytes of its parameters."""

    def run(script, out, **options):
        small = {"data_dir": small_mnist, "validation": 40, "batch_size": 60, "epochs": 2}
        small["strategy"] = "vmap"
        folder = tmp_path / out
        script.experiment(script.Config(out=folder, **small, **options))
        for name in ("curves.png", "images.png"):
            assert (folder / name).read_bytes().startswith(b"\x89PNG")
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return result, (folder / "params.safetensors").read_bytes()

    return run


def terminate(progress):
    signal.raise_signal(signal.SIGTERM)


@SCRIPTS
@pytest.mark.parametrize("seeds", [1, 2])
def test_an_interrupted_run_is_resumed_bit_for_bit(run, monkeypatch, tmp_path, script, seeds):
    whole, params = run(script, "whole", seeds=seeds)
    assert whole["steps"] == 20 and not whole["interrupted"]
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(runner, "console", lambda: nullcontext(terminate))
        run(script, "cut", seeds=seeds)
    result = json.loads((tmp_path / "cut" / "result.json").read_text(encoding="utf-8"))
    assert result["interrupted"] and 0 < result["steps"] < 20
    resumed, again = run(script, "cut", seeds=seeds, resume=True)
    assert again == params and resumed["test"] == whole["test"]


@SCRIPTS
def test_a_member_of_a_population_is_the_model_trained_alone(run, script):
    """The first member, since the first seed determines the held-out examples of all."""
    two, _ = run(script, "two", seeds=2, seed=3)
    alone, _ = run(script, "alone", seed=3)
    for name, value in alone["test"].items():
        first, second = two["test"][name]
        assert first == pytest.approx(value, rel=1e-2) and first != second


def test_an_autoencoder_reconstructs_a_digit_better_than_gray(run, small_mnist):
    result, _ = run(autoencoder, "run")
    test = data.load("mnist", data_dir=small_mnist).test
    gray = np.mean((test.x / 255 - 0.5) ** 2)  # the initial error
    assert result["test"]["pixel_error"] < 0.5 * gray


def test_both_networks_of_a_gan_are_trained_and_saved(run, tmp_path):
    run(gan, "run")
    trained = safetensors.load(tmp_path / "run" / "params.safetensors")["params"]
    assert trained.keys() == {"generator", "discriminator"}
    step = gan.AdversarialStep(gan.generator, gan.discriminator, optax.adam(1e-3), 32)
    start = step.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1), jnp.uint8)).params
    for name, network in trained.items():
        for layer, params in network.items():
            assert abs(params["kernel"] - start[name][layer]["kernel"]).max() > 1e-4
