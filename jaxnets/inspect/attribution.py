"""What in the input a class's score rests on: saliency and class-activation maps."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.errors import LayerError
from jaxnets.jaxpr.activations import activations, numbered
from jaxnets.jaxpr.walk import Operation, Walk, compute
from jaxnets.layer import Array, Layer, Params, State

# What is differentiated keeps the derivatives of its own that its calls have.
PLAIN_CALLS = ("jit", "closed_call", "remat2")


def saliency(model: Layer, params: Params, state: State, x: Array, classes: Array) -> Array:
    """How much each pixel moves its image's score: |d score / d x|, the largest of the channels.

    Args:
      model: a classifier, from images (batch, *space, channels) to scores (batch, n_classes).
      params: its parameters.
      state: its state.
      x: the images, as floating-point numbers.
      classes: (batch,) integers, whose score of each image.

    Returns:
      (batch, *space). Source: Simonyan, Vedaldi & Zisserman 2014, "Deep inside convolutional
      networks", section 3.
    """

    def total(x: Array, params: Params, state: State) -> Array:
        return _scores(model.apply(params, state, x)[0], classes).sum()

    return jnp.abs(jax.jit(jax.grad(total))(x, params, state)).max(-1)


def class_activation(
    model: Layer, params: Params, state: State, x: Array, classes: Array, path: str
) -> Array:
    """Where a layer sees evidence for a class: its maps A_k, weighed by how the score needs them.

    L = relu(sum_k a_k A_k), with a_k the mean over positions of d score / d A_k. For a network
    that ends in global average pooling and one dense layer it is the class-activation map of
    Zhou et al. 2016, without its negative part, divided by the number of positions. Source:
    Selvaraju et al. 2017, "Grad-CAM", equations 1 and 2.

    Args:
      model: a classifier, from images (batch, *space, channels) to scores (batch, n_classes).
      params: its parameters.
      state: its state.
      x: the images.
      classes: (batch,) integers, whose evidence in each image.
      path: the layer, as `activations` names it; the last convolution's is the usual choice.

    Returns:
      (batch, *space), at the layer's resolution.

    Raises:
      LayerError: no output of that name, or one that is no map.
    """
    outputs = jax.eval_shape(lambda x: activations(model, params, state, x), x)
    if path not in outputs:
        raise LayerError(f"the model has no output named {path!r}; it has {list(outputs)}")
    if len(outputs[path].shape) < 3:
        raise LayerError(
            f"a class-activation map needs maps (batch, *space, channels), but {path!r} gives "
            f"{outputs[path].shape}; choose a layer before, such as the last convolution"
        )
    score = partial(_score_with, model, classes, path)
    change = jnp.zeros(outputs[path].shape, outputs[path].dtype)
    gradient, maps = jax.jit(jax.grad(score, has_aux=True))(change, (params, state, x))
    space = tuple(range(1, maps.ndim - 1))
    return jax.nn.relu((gradient.mean(space, keepdims=True) * maps).sum(-1))


def _score_with(
    model: Layer, classes: Array, path: str, change: Array, arguments: tuple[Params, State, Array]
) -> tuple[Array, Array]:
    """The sum of the scores with `change` added to the output at `path`, and that output."""
    number, seen = numbered(), {}

    def visit(operation: Operation, operands: list[Any]) -> Sequence[Any]:
        if not operation.tagged:
            return compute(operation, operands)
        if number(operation.path) != path:
            return operands
        seen[path] = operands[0]
        return [operands[0] + change]

    program = jax.make_jaxpr(lambda *arguments: model.apply(*arguments)[0])(*arguments)
    (scores,) = Walk(visit, inline=PLAIN_CALLS)(program, jax.tree.leaves(arguments))
    return _scores(scores, classes).sum(), seen[path]


def _scores(scores: Array, classes: Array) -> Array:
    """Each image's score of its class."""
    return scores[jnp.arange(len(scores)), classes]
