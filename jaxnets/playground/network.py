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
from jaxnets.layer import Array, Key, Layer, Params, State
from jaxnets.layers import batch_norm, dense, dropout
from jaxnets.playground.optimizers import make_optimizer
from jaxnets.playground.options import ACTIVATIONS, LAYERS, UNITS, Options, Structure, slots
from jaxnets.training import TrainStep, make_train_step


def hparams_of(options: Options) -> dict[str, Any]:
    """The inputs of the program that are not data, the same for all seeds."""
    rates = {kind: options.penalty_rate * (options.penalty == kind) for kind in ("L1", "L2")}
    units = np.zeros((LAYERS, UNITS), bool)
    for mask, width in zip(units, options.hidden, strict=False):
        mask[:width] = True
    features = np.zeros(UNITS, bool)
    features[[slots(options.data).index(name) for name in options.features]] = True
    return {
        "rate": np.float32(options.rate),
        "l1": np.float32(rates["L1"]),
        "l2": np.float32(rates["L2"]),
        "dropout": np.float32(options.dropout),
        "features": features,
        "units": units,
        "last": units[len(options.hidden) - 1] if options.hidden else features,
        "activation": np.int32(list(ACTIVATIONS).index(options.activation)),
        "regression": np.bool_(options.task == "regression"),
    }


def make_model(structure: Structure, hparams: dict[str, Any]) -> Layer:
    """The layers; what a unit of the page shows is an output of "hidden1", ...

    Hidden layers beyond the depth are skipped: their parameters are 0 and stay 0.
    """
    masks = [hparams["features"], *hparams["units"]]
    stages: list[Any] = [("features", lambda x: jnp.where(masks[0], x, 0))]
    for i in range(1, structure.layers + 1):
        layers: list[Any] = [("fc", dense(UNITS, kernel_init=masked(masks[i - 1], masks[i])))]
        layers += [("norm", batch_norm())] if structure.batch_norm else []
        layers += [partial(_activate, hparams["activation"], masks[i])]
        layers += [("drop", dropout(hparams["dropout"]))] if structure.dropout else []
        stages += [(f"hidden{i}", skippable(masks[i].any(), serial(*layers)))]
    init = masked(hparams["last"], jnp.ones(1, bool))
    return serial(*stages, ("head", dense(1, kernel_init=init)))


def skippable(used: Array, layer: Layer) -> Layer:
    """The layer, or what returns its input if `used`, which may be traced, is false."""

    def apply(
        params: Params, state: State, x: Array, *, key: Key | None = None, train: bool = False
    ) -> tuple[Array, State]:
        return jax.lax.cond(
            used,
            lambda params, state, x: layer.apply(params, state, x, key=key, train=train),
            lambda params, state, x: (x, state),
            *(params, state, x),
        )

    return Layer(layer.init, apply)


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


def _activate(kind: Array, mask: Array, x: Array) -> Array:
    """The activation of this number in ACTIVATIONS, by selection: a branch compiles longer."""
    values = (jnp.tanh(x), jax.nn.relu(x), jax.nn.sigmoid(x))
    chosen = jnp.select([kind == i for i in range(3)], values, x)
    return jnp.where(mask, chosen, 0)
