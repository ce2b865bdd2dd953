"""Every model of `jaxnets.models`, small, with the shape of an input."""

from typing import NamedTuple

import jax
import numpy as np

from jaxnets import models


class Network(NamedTuple):
    """A model's arguments, and the shape and dtype of one example."""

    arguments: dict
    shape: tuple[int, ...]
    dtype: type = np.float32


NETWORKS = {
    "alexnet": Network({"classes": 3}, (67, 67, 3)),
    "alexnet_one_tower": Network({"classes": 3}, (63, 63, 3)),
    "autoencoder": Network({"inputs": 6, "sizes": (4, 2)}, (6,)),
    "bert_encoder": Network(
        {"vocabulary": 11, "length": 8, "features": 8, "heads": 2, "blocks": 1}, (6,), np.int32
    ),
    "convnext": Network(
        {"classes": 3, "depths": (1, 1, 1, 1), "widths": (4, 4, 8, 8)}, (32, 32, 3)
    ),
    "efficientnet_lite0": Network({"classes": 3}, (32, 32, 3)),
    "fcn": Network({"classes": 3, "widths": (4, 4, 4)}, (12, 2)),
    "gpt": Network(
        {"vocabulary": 11, "length": 8, "features": 8, "heads": 2, "blocks": 1}, (6,), np.int32
    ),
    "lenet5": Network({"classes": 3}, (12, 12, 1)),
    "lenet_batch_norm": Network({"classes": 3}, (8, 8, 1)),
    "linear": Network({"outputs": 2}, (4,)),
    "logistic": Network({"absorb_bias": True}, (4,)),
    "lstm_classifier": Network({"classes": 3, "units": (64, 4), "both_directions": True}, (5, 2)),
    "mlp": Network({"sizes": (5, 4, 3)}, (2, 3)),
    "mobilenet_v2": Network({"classes": 3}, (32, 32, 3)),
    "perceptron": Network({}, (4,)),
    "resnet18": Network({"classes": 3}, (32, 32, 3)),
    "resnet1d": Network({"classes": 3, "widths": (4, 4, 4)}, (12, 2)),
    "resnet20": Network({"classes": 3}, (8, 8, 3)),
    "resnet50": Network({"classes": 3}, (32, 32, 3)),
    "small_cnn": Network({"classes": 3, "widths": ((4,), (8, 8))}, (8, 8, 1)),
    "squeezenet": Network({"classes": 3}, (32, 32, 3)),
    "squeezenet_1_1": Network({"classes": 3}, (32, 32, 3)),
    "transformer_block": Network({"features": 8, "heads": 2}, (5, 8)),
    "unet": Network({"widths": (4, 8), "padding": "SAME"}, (8, 8, 1)),
    "vgg11": Network({"classes": 3}, (32, 32, 3)),
    "vgg16": Network({"classes": 3}, (32, 32, 3)),
}


def build(name):
    """The model, the shapes of its params and state, and the shape of an input of two rows."""
    network = NETWORKS[name]
    model = getattr(models, name)(**network.arguments)
    x = jax.ShapeDtypeStruct((2, *network.shape), network.dtype)
    return model, *jax.eval_shape(model.init, jax.random.key(0), x), x


def weights_like(specs, seed=0):
    """Random arrays of these shapes: kernels that preserve the size of what they multiply."""
    rng = np.random.default_rng(seed)

    def draw(leaf):
        fan_in = max(1, np.prod(leaf.shape[:-1], dtype=int))
        return rng.normal(size=leaf.shape).astype(leaf.dtype) / np.float32(fan_in**0.5)

    return jax.tree.map(draw, specs)


def positive_like(specs, seed=1):
    """Random positive arrays of these shapes, as running variances are."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: rng.uniform(0.5, 1.5, leaf.shape).astype(leaf.dtype), specs)


def inputs(name, rows=2, seed=2):
    """A random batch for the model."""
    network, rng = NETWORKS[name], np.random.default_rng(seed)
    if network.dtype is np.int32:
        return rng.integers(0, 11, (rows, *network.shape)).astype(np.int32)
    return rng.normal(size=(rows, *network.shape)).astype(np.float32)
