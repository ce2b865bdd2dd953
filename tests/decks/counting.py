"""The shapes of a model and the number of its parameters, without allocating any."""

import math

import jax
import jax.numpy as jnp

from jaxnets import serial
from jaxnets.trees import flatten_names


def abstract(model, *shape):
    """The shapes of `(params, state)` for an input of this shape."""
    spec = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    return jax.eval_shape(model.init, jax.random.key(0), spec)


def counts(tree):
    """How many numbers each leaf holds, by its path."""
    return {path: math.prod(leaf.shape) for path, leaf in flatten_names(tree).items()}


def count(tree):
    """How many numbers a tree holds."""
    return sum(counts(tree).values())


def output_shapes(stages, *shape):
    """The shape of one example after each stage of a chain in which every stage has a name."""
    shapes, x = {}, jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    for stage in stages:
        layer = serial(stage)
        params, state = jax.eval_shape(layer.init, jax.random.key(0), x)
        x, _ = jax.eval_shape(layer.apply, params, state, x)
        shapes[stage[0]] = x.shape[1:]
    return shapes
