"""Fully connected networks of any depth."""

from collections.abc import Callable, Sequence

import jax

from jaxnets.compose import serial
from jaxnets.layer import Array, Layer, LayerError
from jaxnets.layers import dense, flatten

Activation = Callable[[Array], Array]


def mlp(
    sizes: Sequence[int],
    *,
    activation: Activation = jax.nn.relu,
    final: Activation | None = None,
) -> Layer:
    """A multi-layer perceptron from (batch, ...) to (batch, sizes[-1]).

    Layers are named fc1, fc2, ..., head; the head's outputs are logits, or whatever `final` makes
    of them. `mlp((500, 300, 10))` on 784 pixels has 545,810 parameters.

    Raises:
      LayerError: no sizes, or one that is no positive integer.
    """
    if not sizes:
        raise LayerError("mlp expects at least one size, as in mlp((500, 300, 10)), but got none")
    *hidden, outputs = sizes
    stages = [flatten]
    for number, size in enumerate(hidden, start=1):
        stages += [(f"fc{number}", dense(size)), activation]
    stages += [("head", dense(outputs))]
    return serial(*stages, *([] if final is None else [final]))


def autoencoder(
    inputs: int,
    sizes: Sequence[int],
    *,
    activation: Activation = jax.nn.relu,
    final: Activation | None = None,
) -> Layer:
    """An MLP that narrows to a code of sizes[-1] and widens back, to (batch, inputs).

    The code is the output named "encoder". Fit with `losses.squared_error` of the flattened
    input; `final=jax.nn.sigmoid` suits inputs in [0, 1]. Source: Rumelhart, Hinton & Williams
    1986, "Learning internal representations by error propagation".
    """
    back = (*reversed(sizes[:-1]), inputs)
    return serial(
        ("encoder", mlp(sizes, activation=activation)),
        activation,
        ("decoder", mlp(back, activation=activation, final=final)),
    )
