"""The shapes and the number of parameters of a model, without allocating arrays."""

import math

import jax
import jax.numpy as jnp

from jaxnets.trees import flatten_names


def abstract(model, *shape):
    """The shapes of `(params, state)` for an input of this shape."""
    spec = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    return jax.eval_shape(model.init, jax.random.key(0), spec)


def counts(tree):
    """The size of each leaf by its path."""
    return {path: math.prod(leaf.shape) for path, leaf in flatten_names(tree).items()}


def count(tree):
    """The total size of a tree."""
    return sum(counts(tree).values())


def output_shapes(model, *shape):
    """The shape of one example after each named stage, by its path, in order."""
    spec = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    jaxpr = jax.make_jaxpr(model.apply)(*abstract(model, *shape), spec)
    return {
        str(equation.source_info.name_stack): equation.outvars[0].aval.shape[1:]
        for equation in jaxpr.eqns
        if equation.primitive.name == "name"
    }
