"""Values that a CPU's compiler is to write out in their own shape before a matmul reads them."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.layer import Array


@jax.custom_vjp
def materialize(x: Array) -> Array:
    """The same array, written out. Its gradient passes through."""
    return _written(x)


@jax.custom_vjp
def materialize_gradient(x: Array) -> Array:
    """The same array, whose gradient is written out."""
    return x


def _written(x: Array) -> Array:
    """The array, through a condition that always holds, which the compiler does not see.

    A matmul takes matrices. XLA's CPU compiler fuses the reshape of its operand with whatever
    makes the values, and then computes each element's place by divisions: 1.2 times the time of a
    whole training step (jaxlib 0.10.2). `lax.optimization_barrier` does not stop it.
    """
    first = x[(0,) * x.ndim].astype(jnp.float32)
    always = lax.bitcast_convert_type(first, jnp.uint32) | 1 > 0
    return lax.cond(always, lambda x: x, jnp.zeros_like, x)


materialize.defvjp(lambda x: (_written(x), None), lambda _, g: (g,))
materialize_gradient.defvjp(lambda x: (x, None), lambda _, g: (_written(g),))
