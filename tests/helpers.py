"""Helpers for several tests: random inputs, and exact and approximate comparisons."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from hypothesis import Phase, settings

from jaxnets.training import TrainState, make_train_step

# Few examples, deterministic and without shrinking, since each compiles for its own shapes.
examples = settings(
    max_examples=20, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate]
)

STILL = optax.identity()


def normal(*shape, seed=0):
    """Standard normal numbers in float32, practically without ties."""
    numbers = np.random.default_rng(seed).normal(size=shape)
    return jax.device_put(numbers.astype(np.float32))  # jnp.asarray compiles for each shape


def spec(tree):
    """The shapes and dtypes of a tree, without its values."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)


def eval_step(model, metrics=None):
    """A train step for evaluation and prediction, which use only the model and the metrics."""
    return make_train_step(model, STILL, _no_loss, metrics=metrics)


def _no_loss(outputs, y):
    return 0 * jax.tree.leaves(outputs)[0].sum(-1)


def eval_state(params, model_state=None):
    """A train state for evaluation and prediction."""
    return TrainState(jnp.int32(0), params, model_state or {}, (), jax.random.key(0))


def assert_same(actual, expected):
    """Equal in structure, shape, dtype and every bit of value."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    jax.tree.map(lambda a, e: np.testing.assert_array_equal(a, e, strict=True), actual, expected)


def assert_close(actual, expected, tolerance=1e-5):
    """Equal in structure and shape; each array within `tolerance` of its own largest value."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)

    def close(actual, expected):
        actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
        assert actual.shape == expected.shape
        largest = np.max(np.abs(expected), initial=1e-30)
        np.testing.assert_array_less(np.abs(actual - expected), tolerance * largest + 1e-30)

    jax.tree.map(close, actual, expected)
