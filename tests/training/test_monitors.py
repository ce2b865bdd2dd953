"""Monitors report each problem once, and nothing else."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from clouds import HPARAMS, TRAIN, TRAIN_STEP, run

from jaxnets import conv, dense, serial
from jaxnets.inspect import dead_units
from jaxnets.training import monitors

STATE = TRAIN_STEP(HPARAMS).init(jax.random.key(0), TRAIN[0][:1])


def watch(series, chunk, monitor):
    """The monitor's warnings for a series of objectives that is split into chunks."""
    warnings = []
    for start in range(0, len(series), chunk):
        part = np.asarray(series[start : start + chunk], np.float32)
        warnings += monitor(STATE._replace(step=start + len(part)), part)
    return warnings


NOISE = 1 + 0.1 * np.random.default_rng(0).normal(size=400)


@pytest.mark.parametrize("chunk", [1, 7, 400])
def test_a_loss_spike_is_reported_once_with_its_step_for_any_chunks(chunk):
    series = NOISE.copy()
    series[250:255] = 5
    (warning,) = watch(series, chunk, monitors.loss_spikes())
    assert warning.startswith("the loss jumped to 5 at step 250; in the 100 ")


def test_noise_and_a_slow_rise_are_not_spikes():
    assert watch(NOISE + np.linspace(0, 1, 400), 50, monitors.loss_spikes()) == []


def test_a_rise_by_a_few_percent_of_a_converged_loss_is_not_a_spike():
    series = 0.505 + 0.001 * (NOISE - 1)
    series[250] = 0.5165
    assert watch(series, 50, monitors.loss_spikes()) == []
    assert watch(series - 0.505, 50, monitors.loss_spikes()) != []  # near zero, it is


def test_there_are_no_warnings_before_the_window_is_full():
    series = NOISE.copy()
    series[50] = 100
    assert watch(series, 400, monitors.loss_spikes()) == []


RECTIFIER = serial(("fc1", dense(4)), jax.nn.relu, ("fc2", dense(2)), jax.nn.relu, jnp.tanh)


def rectifier(biases):
    params, _ = RECTIFIER.init(jax.random.key(0), jnp.ones((1, 3)))
    params["fc1"]["bias"] = jnp.asarray(biases, jnp.float32)
    return params


def test_dead_units_are_counted_per_layer():
    x = jax.random.normal(jax.random.key(1), (50, 3))
    params = rectifier([-100, -100, -100, 100])
    shares = dead_units(RECTIFIER, params, {}, x)
    hidden = jax.nn.relu(x @ params["fc1"]["kernel"] + params["fc1"]["bias"][None])
    out = hidden @ params["fc2"]["kernel"] + params["fc2"]["bias"][None]
    assert shares == {"fc1": 0.75, "fc2": float((out <= 0).all(0).mean())}


def test_a_unit_of_a_feature_map_is_a_channel():
    model = serial(("conv1", conv(3, (3, 3))), jax.nn.relu)
    params, _ = model.init(jax.random.key(0), jnp.ones((1, 5, 5, 1)))
    params["conv1"]["bias"] = jnp.array([-100.0, 0, 100])
    x = jax.random.normal(jax.random.key(1), (4, 5, 5, 1))
    assert dead_units(model, params, {}, x)["conv1"] == pytest.approx(1 / 3)


def test_a_run_reports_each_dead_layer_once():
    reports = []
    dead = STATE._replace(params=rectifier([-100] * 4), model_state={})
    monitor = monitors.dead_units(RECTIFIER, np.ones((5, 3), np.float32))
    (warning, *_) = monitor(dead, np.zeros(1))
    assert warning.startswith("100% of the units of layer 'fc1' are dead at step 0")
    assert monitor(dead, np.zeros(1)) == []
    run(callbacks=[lambda state, objectives: [f"{len(objectives)} steps"]], report=reports.append)
    assert [progress.warnings for progress in reports] == [("5 steps",)] * 2


def restored(monitor, other):
    """The other monitor, with the state of the first as a checkpoint stores it."""
    monitors.restore_monitors([other], json.loads(json.dumps(monitors.monitor_states([monitor]))))
    return other


def test_a_monitors_state_survives_json_bit_for_bit():
    series = NOISE.copy()
    series[30], series[40], series[250:255] = np.nan, np.inf, 5  # as with on_nonfinite="skip"
    uninterrupted, resumed = monitors.loss_spikes(window=20), monitors.loss_spikes(window=20)
    expected, warnings = watch(series, 10, uninterrupted), []
    for start in range(0, 400, 10):
        resumed = restored(resumed, monitors.loss_spikes(window=20))
        part = np.asarray(series[start : start + 10], np.float32)
        warnings += resumed(STATE._replace(step=start + 10), part)
    assert warnings == expected and len(warnings) == 1
    assert resumed.state == uninterrupted.state
    past = np.frombuffer(bytes.fromhex(resumed.state["past"]), np.float32)
    np.testing.assert_array_equal(past, series[-20:].astype(np.float32))


def test_a_dead_layer_that_was_reported_before_a_resume_is_not_reported_again():
    dead = STATE._replace(params=rectifier([-100] * 4), model_state={})
    first, again = (monitors.dead_units(RECTIFIER, np.ones((5, 3))) for _ in range(2))
    assert any("fc1" in warning for warning in first(dead, np.zeros(1)))
    assert restored(first, again)(dead, np.zeros(1)) == []


def test_a_monitor_with_other_options_starts_without_state():
    first, other = monitors.loss_spikes(window=20), monitors.loss_spikes(window=30)
    watch(NOISE, 400, first)
    assert restored(first, other).state == {}
    assert restored(lambda state, objectives: [], other).state == {}


@pytest.mark.parametrize(
    "build",
    [
        lambda: monitors.loss_spikes(factor=0),
        lambda: monitors.loss_spikes(window=3),
        lambda: monitors.dead_units(RECTIFIER, np.ones((1, 3)), share=1),
    ],
)
def test_a_monitor_that_could_never_warn_is_refused(build):
    with pytest.raises(ValueError, match="expects"):
        build()
