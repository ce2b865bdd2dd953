"""Derivatives of first and second order against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np

STEP = 1e-5
close = np.testing.assert_allclose


def assert_derivatives(f, inputs, *, forward=True):
    """The derivatives of `f` in float64 are central differences along a random direction.

    The second ones are those of the gradient. `forward=False` is for functions whose derivative
    is defined in reverse mode only.
    """
    rng = np.random.default_rng(0)
    directions = random_like(rng, inputs)
    y_weights = random_like(rng, jax.eval_shape(f, inputs))
    gradient_weights = random_like(rng, inputs)

    @jax.jit
    def value_and_gradient(inputs):
        y, pull = jax.vjp(f, inputs)
        return y, pull(y_weights)[0]

    @jax.jit
    def derivatives(inputs):
        (_, gradient), pull = jax.vjp(value_and_gradient, inputs)
        (second,) = pull((jax.tree.map(jnp.zeros_like, y_weights), gradient_weights))
        if not forward:
            return gradient, second, None
        return gradient, second, jax.jvp(value_and_gradient, (inputs,), (directions,))[1]

    def moved(step):
        return jax.tree.map(lambda x, d: x + step * d, inputs, directions)

    above, below = value_and_gradient(moved(STEP)), value_and_gradient(moved(-STEP))
    differences = jax.tree.map(lambda a, b: (a - b) / (2 * STEP), above, below)
    first, second, along = derivatives(inputs)
    close(dot(first, directions), dot(y_weights, differences[0]), 1e-5, 1e-5)
    close(dot(second, directions), dot(gradient_weights, differences[1]), 1e-5, 1e-5)
    if forward:
        jax.tree.map(lambda a, d: close(a, d, 1e-5, 1e-5), along, differences)


def random_like(rng, tree):
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), tree)


def dot(first, second):
    return sum(jax.tree.leaves(jax.tree.map(np.vdot, first, second)))
