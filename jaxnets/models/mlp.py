"""Multi-layer perceptrons and autoencoders."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn.initializers import lecun_normal, variance_scaling

from jaxnets.compose import serial
from jaxnets.errors import LayerError
from jaxnets.layer import Array, Layer
from jaxnets.layers import dense, flatten
from jaxnets.named import Named

Activation = Callable[[Array], Array]
RELU = Named("jax.nn.relu", jax.nn.relu)


def mlp(
    sizes: Sequence[int],
    *,
    activation: Activation = RELU,
    final: Activation | None = None,
    widths: Sequence[int | Array] | None = None,
) -> Layer:
    """A multi-layer perceptron from (batch, ...) to (batch, sizes[-1]).

    Layers are named fc1, fc2, ..., head; the outputs of the head are logits, to which `final` is
    applied if set. `mlp((500, 300, 10))` for 784 pixels has 545,810 parameters.

    Args:
      sizes: the number of units of each layer; the last is the number of outputs.
      activation: the activation after each hidden layer.
      final: the activation after the head.
      widths: the number of active units per hidden layer, by default all. The other units are 0,
        and the next layer's initialisation ignores them. Widths may be traced, so that members of a
        population can have different widths in one program.

    Raises:
      LayerError: no sizes, a size that is not a positive integer, or not one width per hidden
        layer.
    """
    if not (isinstance(sizes, Sequence) or np.ndim(sizes)) or not len(sizes):
        raise LayerError(f"mlp expects sizes, as in mlp((500, 300, 10)), but got {sizes!r}")
    *hidden, outputs = sizes
    if widths is not None and len(widths) != len(hidden):
        raise LayerError(
            f"mlp expects one width for each of {len(hidden)} hidden layers, but got {len(widths)}"
        )
    stages, init = [flatten], lecun_normal()
    for i, size in enumerate(hidden):
        stages += [(f"fc{i + 1}", dense(size, kernel_init=init)), activation]
        if widths is not None:
            stages += [partial(_first_units, widths[i])]
            # as lecun_normal, with a fan-in that counts only active units
            init = variance_scaling(size / widths[i], "fan_in", "truncated_normal")
    stages += [("head", dense(outputs, kernel_init=init))]
    return serial(*stages, *([] if final is None else [final]))


def _first_units(width: int | Array, x: Array) -> Array:
    return jnp.where(jnp.arange(x.shape[-1]) < width, x, 0)


def autoencoder(
    inputs: int,
    sizes: Sequence[int],
    *,
    activation: Activation = RELU,
    final: Activation | None = None,
) -> Layer:
    """An MLP autoencoder with a code of sizes[-1] units, to (batch, inputs).

    The code is the output named "encoder". Fit with `losses.squared_error` of the flattened
    input; for inputs in [0, 1] use `final=jax.nn.sigmoid`. Source: Rumelhart, Hinton & Williams
    1986, "Learning internal representations by error propagation".
    """
    decoder_sizes = (*reversed(sizes[:-1]), inputs)
    return serial(
        ("encoder", mlp(sizes, activation=activation)),
        activation,
        ("decoder", mlp(decoder_sizes, activation=activation, final=final)),
    )
