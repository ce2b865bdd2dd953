"""Derivatives of first and second order against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np

STEP = 1e-5
close = np.testing.assert_allclose


def assert_derivatives(f, inputs, *, forward=True):
    """Assert that derivatives of `f` in float64 are near central differences in a random direction.

    Those of second order are compared with differences of the gradient. `forward=False` is for
    functions whose derivative is defined in reverse mode only.
    """
    rng = np.random.default_rng(0)
    directions = random_like(rng, inputs)
    y_weights = random_like(rng, jax.eval_shape(f, inputs))
    gradient_weights = random_like(rng, inputs)

    def value_and_gradient(inputs):
        y, pull = jax.vjp(f, inputs)
        return y, pull(y_weights)[0]

    @jax.jit  # one program for the three points
    def derivatives(inputs):
        value, pull = jax.vjp(value_and_gradient, inputs)
        (second,) = pull((jax.tree.map(jnp.zeros_like, y_weights), gradient_weights))
        if not forward:
            return value, second, None
        return value, second, jax.jvp(value_and_gradient, (inputs,), (directions,))[1]

    def moved(step):
        return jax.tree.map(lambda x, d: x + step * d, *in_numpy((inputs, directions)))

    above, below = (in_numpy(derivatives(moved(step))[0]) for step in (STEP, -STEP))
    differences = jax.tree.map(lambda a, b: (a - b) / (2 * STEP), above, below)
    (_, first), second, along = derivatives(inputs)
    close(dot(first, directions), dot(y_weights, differences[0]), 1e-5, 1e-5)
    close(dot(second, directions), dot(gradient_weights, differences[1]), 1e-5, 1e-5)
    if forward:
        jax.tree.map(lambda a, d: close(a, d, 1e-5, 1e-5), along, differences)


def random_like(rng, tree):
    return jax.tree.map(lambda leaf: jax.device_put(rng.normal(size=leaf.shape)), tree)


def in_numpy(tree):
    return jax.tree.map(np.asarray, tree)


def dot(first, second):
    return sum(jax.tree.leaves(jax.tree.map(np.vdot, first, second)))
