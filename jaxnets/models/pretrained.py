"""Trained networks that come with the package."""

import hashlib
from importlib.resources import files
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets import tensors
from jaxnets.compose import serial
from jaxnets.errors import LayerError
from jaxnets.layer import Layer, Params, State
from jaxnets.layers import scale_pixels
from jaxnets.messages import printable
from jaxnets.models.small_cnn import small_cnn
from jaxnets.trees import flatten_names, unflatten_names

WIDTHS = ((32,), (64, 64), (128, 128))
CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag"),
    "Ankle boot",
)


class Recipe(NamedTuple):
    """How a network is built, and its file's SHA-256."""

    mean: float
    std: float
    rate: float
    classes: tuple[str, ...]
    sha256: str


RECIPES = {
    "mnist": Recipe(
        0.1307,
        0.3081,
        0.4,
        tuple("0123456789"),
        "8ad99b1eab0b47b805f0acdbff93d4d25643baad0ad2d366e6bf56772db826f2",
    ),
    "fashion_mnist": Recipe(
        0.286,
        0.353,
        0.3,
        CLOTHES,
        "5b64bb75f9eee256177190fe50825de39f0da642a14c2b185a574ef461cbb1f1",
    ),
}


class Pretrained(NamedTuple):
    """A trained network; `model.apply(params, state, x)` gives the logits of uint8 images.

    Attributes:
      model: from uint8 images (n, 28, 28, 1) to logits (n, 10).
      params: float32, rounded to float16 in the file.
      state: batch-norm statistics.
      classes: the names of the classes.
      accuracy: on the 10,000 test images, after rounding.
      command: what trained it; the seed is 0.
    """

    model: Layer
    params: Params
    state: State
    classes: tuple[str, ...]
    accuracy: float
    command: str


def pretrained(name: str) -> Pretrained:
    """A network of five convolutions, trained on "mnist" or "fashion_mnist".

        digits = models.pretrained("mnist")
        logits, _ = digits.model.apply(digits.params, digits.state, images)

    289,130 parameters. Test accuracy, measured once, when the network was finished: 99.50 %
    on MNIST, 92.61 % on Fashion-MNIST; rounding to float16 is included. Trained for few
    epochs; longer runs of the same recipes reach 99.7 % and 94 %.
    `python -m experiments.pretrained` rounds and measures them.

    Raises:
      LayerError: no such network, or its file is damaged.
    """
    if name not in RECIPES:
        raise LayerError(f"pretrained expects {', '.join(RECIPES)}, but got {printable(name)!r}")
    recipe = RECIPES[name]
    content = files("jaxnets.models").joinpath(f"weights/{name}.safetensors").read_bytes()
    if (digest := hashlib.sha256(content).hexdigest()) != recipe.sha256:
        raise LayerError(
            f"pretrained expects the SHA-256 {recipe.sha256} for {name}, but got {digest}; install "
            "jaxnets again"
        )
    arrays, metadata = tensors.from_bytes(content)
    wide = {path: jax.device_put(a.astype(np.float32)) for path, a in arrays.items()}
    tree = unflatten_names(wide)
    parts = recipe.classes, float(metadata["accuracy"]), metadata["command"]
    return Pretrained(network_of(recipe), tree["params"], tree["state"], *parts)


def network_of(recipe: Recipe) -> Layer:
    """The untrained network."""
    scale = scale_pixels(mean=recipe.mean, std=recipe.std)
    return serial(scale, ("cnn", small_cnn(10, WIDTHS, rate=recipe.rate)))


def to_bytes(params: Params, state: State, metadata: dict[str, str]) -> bytes:
    """The content of a network's file: its params in float16, its state in float32."""
    rounded = {path: jnp.asarray(a, jnp.float16) for path, a in flatten_names(params).items()}
    arrays = {f"params/{path}": array for path, array in rounded.items()}
    arrays |= {f"state/{path}": array for path, array in flatten_names(state).items()}
    return b"".join(bytes(buffer) for buffer in tensors.to_buffers(arrays, metadata))
