"""A run on several devices is the run on one, up to the rounding of sums."""

import jax
import numpy as np
import optax
import pytest
from clouds import HPARAMS, TRAIN, TRAIN_STEP, plain, run
from helpers import assert_close
from jax.nn import relu

from jaxnets import (
    Padded,
    batch_norm,
    conv,
    dense,
    dropout,
    flatten,
    gru,
    last_step,
    losses,
    max_pool,
    metrics,
    serial,
)
from jaxnets.arrays import Examples
from jaxnets.sharding import replicate, use_mesh
from jaxnets.training import Checkpoints, CheckpointWarning, RunError, fit, make_train_step
from jaxnets.training.start import make_loop

NETWORK = serial(
    *[("conv", conv(5, (3, 3), use_bias=False)), ("norm", batch_norm()), relu, max_pool((2, 2))],
    *[flatten, ("drop", dropout(0.5)), ("head", dense(3))],
)
CNN = make_train_step(
    NETWORK,
    optax.sgd(0.1, momentum=0.9),
    losses.softmax_cross_entropy,
    metrics={"accuracy": metrics.accuracy},
)
rng = np.random.default_rng(0)
IMAGES = rng.normal(size=(27, 8, 8, 4)).astype(np.float32), rng.integers(0, 3, 27)


def train(devices, **options):
    key, sizes = jax.random.key(0), {"batch_size": 6, "remainder": "pad", "validation": IMAGES}
    return fit(CNN, IMAGES, key=key, epochs=3, devices=devices, **sizes | options)


@pytest.fixture(scope="module")
def runs():
    jax.config.update("jax_disable_most_optimizations", True)
    yield train(1), train(2)
    jax.config.update("jax_disable_most_optimizations", False)


def test_two_devices_train_and_evaluate_as_one(runs):
    one, two = ((plain(f.train_state), [(p.train, p.validation) for p in f.history]) for f in runs)
    assert_close(two, one)


def test_the_result_is_on_one_device(runs):
    for leaf in jax.tree.leaves(runs[1].train_state):
        assert leaf.devices() == {jax.devices()[0]}


def test_each_device_computes_its_shard():
    sizes = {"batch_size": 6, "remainder": "drop", "evaluate_every": (1, "epochs")}
    key, data = jax.random.key(0), Examples(*IMAGES)
    loop = make_loop(CNN, data, jax.random.clone(key), on_nonfinite="stop", devices=2, **sizes)
    train_state = loop.init(key, None)
    arguments = (train_state, loop.zero_sums(train_state, None), None, loop.source.arrays, 0, 4)
    arguments = replicate(loop.mesh, loop.arguments(*arguments))
    with use_mesh(loop.mesh):
        text = loop.executable(arguments).as_text()
    assert "all-reduce" in text
    assert "f32[8,8,3,5]" in text  # three images of six, in HWNC layout
    assert "f32[8,8,6,5]" not in text


def test_two_devices_train_on_padded_batches_as_one():
    layers = [("rnn", gru(3)), ("norm", batch_norm()), last_step, ("head", dense(3))]
    step = make_train_step(serial(*layers), optax.sgd(0.1), losses.softmax_cross_entropy)
    lengths = rng.integers(0, 6, 10).astype(np.int32)
    values = rng.normal(size=(10, 5, 2)).astype(np.float32)
    values[np.arange(5) >= lengths[:, None]] = np.nan
    data, sizes = (Padded(values, lengths), lengths % 3), {"batch_size": 4, "remainder": "pad"}
    options = {"key": jax.random.key(0), "steps": 4, **sizes}
    one, two = (fit(step, data, devices=n, **options) for n in (1, 2))
    assert_close(plain(two.train_state), plain(one.train_state))
    assert_close(two.history[-1].train["loss"], one.history[-1].train["loss"])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(two.train_state.params))


def test_a_run_saved_on_two_devices_resumes_on_one(tmp_path):
    uninterrupted = run(epochs=2)
    run(epochs=1, devices=2, checkpoints=Checkpoints(tmp_path))
    with pytest.warns(CheckpointWarning, match="saved axes {'batch': 2}, now {'batch': 1}"):
        resumed = run(epochs=2, checkpoints=Checkpoints(tmp_path), resume=True)
    assert int(resumed.train_state.step) == int(uninterrupted.train_state.step)
    assert_close(*(f.train_state.params for f in (resumed, uninterrupted)))


@pytest.mark.parametrize(
    ("devices", "message"),
    [
        (3, "at most the 2 devices.*got 3.*host_platform_device_count=3"),
        (0, "devices to be a positive integer, but got 0; pass devices=1"),
        ("2", "a positive integer, but got '2'; pass devices=1"),
        (True, "got True"),
    ],
)
def test_missing_devices_are_refused(devices, message):
    with pytest.raises(RunError, match=message):
        train(devices)


def test_a_batch_that_the_devices_do_not_divide_is_refused():
    with pytest.raises(RunError, match="batch_size=7; use 6"):
        fit(
            TRAIN_STEP,
            TRAIN,
            key=jax.random.key(0),
            hparams=HPARAMS,
            epochs=1,
            batch_size=7,
            devices=2,
        )
