"""The network of the page, with traced sizes: every layer has 8 units, some of them masked."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn.initializers import variance_scaling

from jaxnets import losses
from jaxnets.compose import serial
from jaxnets.layer import Array, Layer
from jaxnets.layers import batch_norm, dense, dropout
from jaxnets.playground.optimizers import make_optimizer
from jaxnets.playground.options import ACTIVATIONS, FEATURES, UNITS, Options, Structure
from jaxnets.training import TrainStep, make_train_step


def hparams_of(options: Options) -> dict[str, Any]:
    """The inputs of the program that are not data, the same for all seeds."""
    rates = {kind: options.penalty_rate * (options.penalty == kind) for kind in ("L1", "L2")}
    masks = [np.arange(UNITS) < width for width in options.hidden]
    return {
        "rate": np.float32(options.rate),
        "l1": np.float32(rates["L1"]),
        "l2": np.float32(rates["L2"]),
        "dropout": np.float32(options.dropout),
        "features": np.array([name in options.features for name in FEATURES]),
        "units": np.array(masks, bool).reshape(-1, UNITS),
        "activation": np.int32(list(ACTIVATIONS).index(options.activation)),
        "regression": np.bool_(options.task == "regression"),
    }


def make_model(structure: Structure, hparams: dict[str, Any]) -> Layer:
    """The layers; those named "unit1", ... are what a unit of the page shows."""
    masks = [hparams["features"], *hparams["units"], jnp.ones(1, bool)]
    stages: list[Any] = [("features", partial(_features, hparams["features"]))]
    for i in range(1, structure.depth + 1):
        init = masked(masks[i - 1], masks[i])
        stages += [(f"fc{i}", dense(UNITS, kernel_init=init))]
        stages += [(f"norm{i}", batch_norm())] if structure.batch_norm else []
        stages += [(f"unit{i}", partial(_activate, hparams["activation"], masks[i]))]
        stages += [(f"drop{i}", dropout(hparams["dropout"]))] if structure.dropout else []
    return serial(*stages, ("head", dense(1, kernel_init=masked(*masks[-2:]))))


def make_step(structure: Structure, hparams: dict[str, Any]) -> TrainStep:
    """The train step: half the squared error, or the cross-entropy of one logit."""
    return make_train_step(
        make_model(structure, hparams),
        make_optimizer(structure.optimizer, hparams["rate"]),
        partial(loss, hparams["regression"]),
        penalty=lambda params: losses.l1_l2(params, hparams["l1"], hparams["l2"]),
    )


def loss(regression: Array, outputs: Array, labels: Array) -> Array:
    """The loss of each point, (n,)."""
    classes = jnp.where(regression, 0, labels)
    cross_entropy = losses.binary_cross_entropy(outputs, classes)
    return jnp.where(regression, losses.half_squared_error(outputs, labels), cross_entropy)


def masked(inputs: Array, outputs: Array) -> Callable[..., Array]:
    """LeCun's initialisation, which counts only inputs that are used; 0 for other weights."""

    def init(key: Any, shape: Any, dtype: Any = jnp.float32) -> Array:
        scale = len(inputs) / inputs.sum()
        kernel = variance_scaling(scale, "fan_in", "truncated_normal")(key, shape, dtype)
        return jnp.where(inputs[:, None] & outputs[None], kernel, 0)

    return init


def _features(mask: Array, x: Array) -> Array:
    x1, x2 = x[:, 0], x[:, 1]
    columns = [x1, x2, x1**2, x2**2, x1 * x2, jnp.sin(x1), jnp.sin(x2)]
    return jnp.where(mask, jnp.stack(columns, 1), 0)


def _activate(kind: Array, mask: Array, x: Array) -> Array:
    """The activation of this number in ACTIVATIONS, by selection: a branch compiles longer."""
    values = (jnp.tanh(x), jax.nn.relu(x), jax.nn.sigmoid(x))
    chosen = jnp.select([kind == i for i in range(3)], values, x)
    return jnp.where(mask, chosen, 0)
