"""Experiments without a classifier: an autoencoder, and a custom train step of two networks."""

import json
import signal
from contextlib import nullcontext
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from counting import count

from experiments import autoencoder, gan, runner
from jaxnets import data, dense, dropout, serial
from jaxnets.interop import safetensors
from jaxnets.training import Batch, Interrupted

NETWORKS = gan.generator, gan.discriminator


@pytest.fixture(scope="module", autouse=True)
def small_networks():
    """One layer in place of each network of the GAN, since those take long to compile."""
    with pytest.MonkeyPatch.context() as patch:
        generator = serial(("head", dense(28 * 28)), jnp.tanh)
        patch.setattr(gan, "generator", generator)
        patch.setattr(gan, "discriminator", serial(("drop", dropout(0.3)), ("head", dense(1))))
        yield


@pytest.fixture(scope="module")
def run(small_mnist):
    """Run a script for 20 steps; return its result and the bytes of its parameters."""

    def run(script, folder, **options):
        small = {"data_dir": small_mnist, "validation": 40, "batch_size": 60, "epochs": 2}
        small["strategy"] = "vmap"
        script.experiment(script.Config(out=folder, **small, **options))
        result = json.loads((folder / "result.json").read_text(encoding="utf-8"))
        return result, (folder / "params.safetensors").read_bytes()

    return run


@pytest.fixture(scope="module")
def whole(run, tmp_path_factory):
    """The result and the parameters of an uninterrupted run, which is made once."""
    folder = tmp_path_factory.mktemp("whole")

    @cache
    def whole(script, seeds):
        out = folder / f"{script.__name__} {seeds}"
        result = run(script, out, seeds=seeds)
        for name in ("curves.png", "images.png"):
            assert (out / name).read_bytes().startswith(b"\x89PNG")
        return result

    return whole


def terminate(progress):
    signal.raise_signal(signal.SIGTERM)


def test_an_interrupted_run_of_a_custom_train_step_is_resumed_bit_for_bit(
    run, whole, monkeypatch, tmp_path, request
):
    expected, params = whole(gan, 1)
    request.getfixturevalue("draw_nothing")  # `whole` draws
    assert expected["steps"] == 20 and not expected["interrupted"]
    cut = tmp_path / "cut"
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(runner, "console", lambda: nullcontext(terminate))
        run(gan, cut)
    result = json.loads((cut / "result.json").read_text(encoding="utf-8"))
    assert result["interrupted"] and 0 < result["steps"] < 20
    resumed, again = run(gan, cut, resume=True)
    assert again == params and resumed["test"] == expected["test"]


def test_a_member_of_a_population_is_the_model_trained_alone(whole):
    """The first member, since the first seed determines the held-out examples of all."""
    two, _ = whole(gan, 2)
    alone, _ = whole(gan, 1)
    for name, value in alone["test"].items():
        first, second = two["test"][name]
        assert first == pytest.approx(value, rel=1e-2) and first != second


def test_an_autoencoder_reconstructs_a_digit_better_than_gray(whole, small_mnist):
    result, _ = whole(autoencoder, 1)
    test = data.load("mnist", data_dir=small_mnist).test
    gray = np.mean((test.x / 255 - 0.5) ** 2)  # the initial error
    assert result["test"]["pixel_error"] < 0.5 * gray


def test_both_networks_of_a_gan_are_trained_and_saved(whole, tmp_path):
    _, content = whole(gan, 1)
    (tmp_path / "params.safetensors").write_bytes(content)
    trained = safetensors.load(tmp_path / "params.safetensors")["params"]
    assert trained.keys() == {"generator", "discriminator"}
    step = gan.AdversarialStep(gan.generator, gan.discriminator, optax.adam(1e-3), 32)
    start = jax.jit(step.init)(jax.random.key(0), jnp.zeros((1, 28, 28, 1), jnp.uint8)).params
    for name, network in trained.items():
        for layer, params in network.items():
            assert abs(params["kernel"] - start[name][layer]["kernel"]).max() > 1e-4


def test_a_step_of_the_networks_of_the_script_keeps_the_shapes_of_its_train_state():
    step = gan.AdversarialStep(*NETWORKS, optax.adam(1e-3), 32)
    images = jax.ShapeDtypeStruct((60, 28, 28, 1), jnp.uint8)
    batch = Batch(images, images, jax.ShapeDtypeStruct((60,), jnp.float32))
    start = jax.eval_shape(step.init, jax.random.key(0), images)
    assert {name: count(part) for name, part in start.params.items()} == {
        "generator": 33 * 256 + 257 * 512 + 513 * 784,
        "discriminator": 785 * 512 + 513 * 256 + 257,
    }
    after, sums = jax.eval_shape(step, start, batch)
    assert jax.tree.map(lambda leaf: leaf.shape, after) == jax.tree.map(
        lambda leaf: leaf.shape, start
    )
    assert {*gan.NAMES} < sums.keys()
