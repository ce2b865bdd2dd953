"""Every optimizer against its published formula, computed in NumPy with optax's constants.

docs/optimizers.md lists where optax, Keras 3.15, PyTorch 2.13 and the papers differ; the constants
below are those that it states for optax.
"""

import inspect
from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxnets.training import descend, momentum

START = np.array([-0.6, 0.9, 0.4])
STEPS = 20


def curved(p):
    """Not quadratic: it has a valley, a quartic and a saddle."""
    x, y, z = p
    return (1 - x) ** 2 + 2 * (y - x**2) ** 2 + 0.5 * z**4 - z * jnp.cos(x)


def gradient(p):
    """The gradient of `curved`, by hand."""
    x, y, z = p
    valley = 4 * (y - x**2)
    return np.array([-2 * (1 - x) - 2 * x * valley + z * np.sin(x), valley, 2 * z**3 - np.cos(x)])


def sgd(p, rate):
    while True:
        p = p - rate * gradient(p)
        yield p


def heavy_ball(p, rate, decay):
    """Rumelhart, Hinton & Williams 1986, eq. 9."""
    v = 0.0
    while True:
        v = decay * v + rate * gradient(p)
        p = p - v
        yield p


def nesterov(p, rate, decay):
    """Sutskever et al. 2013, eq. 3 and 4; the gradient is taken at each point, theta + decay v."""
    theta, v = p, 0.0
    while True:
        v = decay * v - rate * gradient(theta + decay * v)
        theta = theta + v
        yield theta + decay * v


def adagrad(p, rate, first, eps):
    """Duchi et al. 2011, with eps under the root and the sums starting at `first`."""
    sums = np.full(3, first)
    while True:
        g = gradient(p)
        sums = sums + g**2
        p = p - rate * g / np.sqrt(sums + eps)
        yield p


def adadelta(p, rate, rho, eps):
    """Zeiler 2012, algorithm 1, times a rate."""
    mean_g, mean_step = np.zeros(3), np.zeros(3)
    while True:
        g = gradient(p)
        mean_g = rho * mean_g + (1 - rho) * g**2
        step = -np.sqrt(mean_step + eps) / np.sqrt(mean_g + eps) * g
        mean_step = rho * mean_step + (1 - rho) * step**2
        p = p + rate * step
        yield p


def rmsprop(p, rate, decay, eps):
    """Tieleman & Hinton 2012, lecture 6e, with eps under the root."""
    mean_square = np.zeros(3)
    while True:
        g = gradient(p)
        mean_square = decay * mean_square + (1 - decay) * g**2
        p = p - rate * g / np.sqrt(mean_square + eps)
        yield p


def adam(p, rate, b1, b2, eps):
    """Kingma & Ba 2015, algorithm 1."""
    m, v, t = np.zeros(3), np.zeros(3), 0
    while True:
        g, t = gradient(p), t + 1
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g**2
        p = p - rate * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
        yield p


# Adaptive optimizers twice: with the defaults, and with constants large enough to test their place
# in the formula.
CASES = {
    "sgd": (optax.sgd(0.05), sgd, {"rate": 0.05}),
    "momentum": (momentum(0.02, decay=0.9), heavy_ball, {"rate": 0.02, "decay": 0.9}),
    "NAG": (
        optax.sgd(0.02, momentum=0.9, nesterov=True),
        nesterov,
        {"rate": 0.02, "decay": 0.9},
    ),
    "adagrad": (optax.adagrad(0.1), adagrad, {"rate": 0.1, "first": 0.1, "eps": 1e-7}),
    "adagrad, large": (
        optax.adagrad(0.1, initial_accumulator_value=0.5, eps=0.3),
        adagrad,
        {"rate": 0.1, "first": 0.5, "eps": 0.3},
    ),
    "adadelta": (optax.adadelta(1.0), adadelta, {"rate": 1.0, "rho": 0.9, "eps": 1e-6}),
    "adadelta, large": (
        optax.adadelta(0.5, rho=0.8, eps=0.01),
        adadelta,
        {"rate": 0.5, "rho": 0.8, "eps": 0.01},
    ),
    "rmsprop": (optax.rmsprop(0.01), rmsprop, {"rate": 0.01, "decay": 0.9, "eps": 1e-8}),
    "rmsprop, large": (
        optax.rmsprop(0.01, decay=0.7, eps=0.3),
        rmsprop,
        {"rate": 0.01, "decay": 0.7, "eps": 0.3},
    ),
    "adam": (optax.adam(0.05), adam, {"rate": 0.05, "b1": 0.9, "b2": 0.999, "eps": 1e-8}),
    "adam, large": (
        optax.adam(0.05, b1=0.8, b2=0.9, eps=0.3),
        adam,
        {"rate": 0.05, "b1": 0.8, "b2": 0.9, "eps": 0.3},
    ),
}


def test_the_gradient_by_hand_is_that_of_the_function():
    np.testing.assert_allclose(
        jax.jit(jax.grad(curved))(jnp.asarray(START)), gradient(START), rtol=1e-5
    )


@pytest.mark.parametrize("tx, formula, constants", CASES.values(), ids=CASES)
def test_twenty_steps_are_those_of_the_published_formula(tx, formula, constants):
    points = descend(curved, jnp.asarray(START), tx, STEPS).points
    expected = [START, *islice(formula(START, **constants), STEPS)]
    np.testing.assert_allclose(points, expected, rtol=0, atol=1e-5)
    assert np.abs(points[-1] - START).max() > 0.05, "a trajectory that does not move tests nothing"


STATED = {
    optax.sgd: {"momentum": None, "nesterov": False},
    optax.adagrad: {"initial_accumulator_value": 0.1, "eps": 1e-7},
    optax.adadelta: {"learning_rate": None, "rho": 0.9, "eps": 1e-6, "weight_decay": 0.0},
    optax.rmsprop: {
        "decay": 0.9,
        "eps": 1e-8,
        "initial_scale": 0.0,
        "eps_in_sqrt": True,
        "centered": False,
        "momentum": None,
        "nesterov": False,
        "bias_correction": False,
    },
    optax.adam: {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "eps_root": 0.0, "nesterov": False},
}


@pytest.mark.parametrize("constructor, stated", STATED.items(), ids=[f.__name__ for f in STATED])
def test_the_constants_of_the_documentation_are_the_defaults_of_optax(constructor, stated):
    parameters = inspect.signature(constructor).parameters
    assert {name: parameters[name].default for name in stated} == stated


def test_adadelta_without_a_learning_rate_increases_the_loss():
    assert descend(curved, jnp.asarray(START), optax.adadelta(), 3).values[-1] > curved(START)


def test_rmsprop_with_eps_outside_the_root_is_that_of_pytorch():
    points = descend(curved, jnp.asarray(START), optax.rmsprop(0.01, eps=0.3, eps_in_sqrt=False), 3)
    g = gradient(START)
    expected = START - 0.01 * g / (np.sqrt(0.1 * g**2) + 0.3)
    np.testing.assert_allclose(points.points[1], expected, atol=1e-6)
