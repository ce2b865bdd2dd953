"""Learning-rate decay: optax's schedules and a custom function, each against its formula."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets.training import descend

STEPS = np.arange(25)
DECAYS = {
    "time-based": (lambda step: 0.1 / (1 + 0.3 * step), 0.1 / (1 + 0.3 * STEPS)),
    "step": (
        optax.exponential_decay(0.1, transition_steps=10, decay_rate=0.5, staircase=True),
        0.1 * 0.5 ** (STEPS // 10),
    ),
    "exponential": (
        optax.exponential_decay(0.1, transition_steps=10, decay_rate=0.5),
        0.1 * 0.5 ** (STEPS / 10),
    ),
    "cosine": (
        optax.cosine_decay_schedule(0.1, decay_steps=20, alpha=0.01),
        0.1 * (0.99 * (1 + np.cos(np.pi * np.minimum(STEPS, 20) / 20)) / 2 + 0.01),
    ),
}


@pytest.mark.parametrize("schedule, expected", DECAYS.values(), ids=DECAYS)
def test_a_schedule_is_its_formula(schedule, expected):
    np.testing.assert_allclose([schedule(step) for step in STEPS], expected, rtol=1e-6)


@pytest.mark.parametrize("schedule, rates", DECAYS.values(), ids=DECAYS)
def test_each_step_of_a_descent_uses_the_rate_of_its_number_from_zero(schedule, rates):
    points = descend(lambda w: w**2 / 2, 1.0, optax.sgd(schedule), len(STEPS)).points
    expected = np.cumprod([1.0, *(1 - rates)])
    np.testing.assert_allclose(points, expected, rtol=1e-5)


def test_a_step_schedule_by_its_boundaries_changes_at_them():
    schedule = optax.piecewise_constant_schedule(1.0, {10: 0.1, 20: 0.5})
    expected = np.where(STEPS >= 20, 0.05, np.where(STEPS >= 10, 0.1, 1.0))
    np.testing.assert_allclose([schedule(jnp.int32(step)) for step in STEPS], expected, rtol=1e-6)
