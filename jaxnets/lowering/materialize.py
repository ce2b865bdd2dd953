"""Makes XLA's CPU compiler materialize an array in memory before a matmul reads it."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.layer import Array


@jax.custom_vjp
def materialize(x: Array) -> Array:
    """The same array, materialized; its gradient is not."""
    return _materialized(x)


@jax.custom_vjp
def materialize_gradient(x: Array) -> Array:
    """The same array, with a gradient that is materialized."""
    return x


def _materialized(x: Array) -> Array:
    """The array, passed through a condition that is always true but opaque to the compiler.

    XLA's CPU compiler fuses the reshape of a matmul's operand with the operations that compute it,
    and then finds the index of each element by divisions, which makes a training step take 1.2
    times as long (jaxlib 0.10.2). `lax.optimization_barrier` does not prevent this.
    """
    first = x[(0,) * x.ndim].astype(jnp.float32)
    always = lax.bitcast_convert_type(first, jnp.uint32) | 1 > 0
    return lax.cond(always, lambda x: x, jnp.zeros_like, x)


materialize.defvjp(lambda x: (_materialized(x), None), lambda _, g: (g,))
materialize_gradient.defvjp(lambda x: (x, None), lambda _, g: (_materialized(g),))
