"""Attribution of a class score to the input: saliency and class-activation maps."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.errors import LayerError
from jaxnets.jaxpr.activations import activations, numbered
from jaxnets.jaxpr.walk import Operation, Walk, compute
from jaxnets.layer import Array, Layer, Params, State

# Calls to inline; calls with custom derivatives are kept, since the result is differentiated.
PLAIN_CALLS = ("jit", "closed_call", "remat2")


def saliency(model: Layer, params: Params, state: State, x: Array, classes: Array) -> Array:
    """The magnitude of the gradient of each image's score at each pixel.

    This is |d score / d x|, and its maximum over the channels.

    Args:
      model: a classifier, from images (batch, *space, channels) to scores (batch, n_classes).
      params: the model's parameters.
      state: the model's state.
      x: the images, as floating-point numbers.
      classes: (batch,) integers, the class whose score is differentiated for each image.

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
    """Grad-CAM: the evidence for a class at each position of a layer with feature maps A_k.

    L = relu(sum_k a_k A_k), with a_k the mean over positions of d score / d A_k. For a network
    that ends in global average pooling and one dense layer it is the class-activation map of
    Zhou et al. 2016, without its negative part, divided by the number of positions. Source:
    Selvaraju et al. 2017, "Grad-CAM", equations 1 and 2.

    Args:
      model: a classifier, from images (batch, *space, channels) to scores (batch, n_classes).
      params: the model's parameters.
      state: the model's state.
      x: the images.
      classes: (batch,) integers, the class for each image.
      path: the path of the layer, as in `activations`; usually that of the last convolution.

    Returns:
      (batch, *space), at the layer's resolution.

    Raises:
      LayerError: there is no output at this path, or it is not a feature map.
    """
    outputs = jax.eval_shape(lambda x: activations(model, params, state, x), x)
    if path not in outputs:
        raise LayerError(f"the model has no output named {path!r}; it has {list(outputs)}")
    if len(outputs[path].shape) < 3:
        raise LayerError(
            f"class_activation expects feature maps (batch, *space, channels), but the output of "
            f"{path!r} is {outputs[path].shape}; choose an earlier layer, such as the last "
            f"convolution"
        )
    score = partial(_perturbed_score, model, classes, path)
    zeros = jnp.zeros(outputs[path].shape, outputs[path].dtype)
    gradient, maps = jax.jit(jax.grad(score, has_aux=True))(zeros, (params, state, x))
    space = tuple(range(1, maps.ndim - 1))
    return jax.nn.relu((gradient.mean(space, keepdims=True) * maps).sum(-1))


def _perturbed_score(
    model: Layer,
    classes: Array,
    path: str,
    perturbation: Array,
    arguments: tuple[Params, State, Array],
) -> tuple[Array, Array]:
    """The sum of the scores with a perturbation of the output at `path`, and that output."""
    number, outputs = numbered(), {}

    def visit(operation: Operation, operands: list[Any]) -> Sequence[Any]:
        if not operation.tagged:
            return compute(operation, operands)
        if number(operation.path) != path:
            return operands
        outputs[path] = operands[0]
        return [operands[0] + perturbation]

    program = jax.make_jaxpr(lambda *arguments: model.apply(*arguments)[0])(*arguments)
    (scores,) = Walk(visit, inline=PLAIN_CALLS)(program, jax.tree.leaves(arguments))
    return _scores(scores, classes).sum(), outputs[path]


def _scores(scores: Array, classes: Array) -> Array:
    """The score of each image's class."""
    return scores[jnp.arange(len(scores)), classes]
