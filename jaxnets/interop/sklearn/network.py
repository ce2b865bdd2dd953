"""The network and train step of an estimator, and a train state that can be pickled."""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnets import losses
from jaxnets.layer import Array, Layer
from jaxnets.metrics import Metric
from jaxnets.models import mlp
from jaxnets.training import TrainState, TrainStep, make_train_step
from jaxnets.training.train_step import Loss

Build = Callable[[int, int], Layer]

ACTIVATIONS = {
    "identity": jax.nn.identity,
    "logistic": jax.nn.sigmoid,
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
}


class Architecture(NamedTuple):
    """The arguments of a network, which can be pickled, compared and hashed."""

    build: Build | None
    hidden: tuple[int, ...]
    activation: str
    inputs: int
    outputs: int


def network(architecture: Architecture) -> Layer:
    """The network from `build`, or an MLP; from (n, inputs) to (n, outputs)."""
    build, hidden, activation, inputs, outputs = architecture
    if build is None:
        return mlp((*hidden, outputs), activation=ACTIVATIONS[activation])
    if not isinstance(model := build(inputs, outputs), Layer):
        raise TypeError(f"build({inputs}, {outputs}) must return a Layer, but got {model!r}")
    rows = jax.ShapeDtypeStruct((1, inputs), jnp.float32)
    params, state = jax.eval_shape(model.init, jax.random.key(0), rows)
    shape = jax.eval_shape(model.apply, params, state, rows)[0].shape
    if shape != (1, outputs):
        raise ValueError(
            f"build({inputs}, {outputs}) must return a Layer from (1, {inputs}) to (1, {outputs}), "
            f"but got one to {shape}; end it with dense(n_outputs)"
        )
    return model


@lru_cache(maxsize=16)  # equal arguments share a train step and its compiled program
def train_step_of(
    architecture: Architecture, loss: Loss, metrics: tuple[tuple[str, Metric], ...]
) -> Callable[[dict[str, Array]], TrainStep]:
    """A function from `learning_rate` and `l2` to a train step with Adam and an L2 penalty."""
    model = network(architecture)

    def train_step(hparams: dict[str, Array]) -> TrainStep:
        return make_train_step(
            model,
            optax.adam(hparams["learning_rate"]),
            loss,
            metrics=dict(metrics),
            penalty=lambda params: losses.l2(params, hparams["l2"]),
        )

    return train_step


def to_host(train_state: TrainState) -> TrainState:
    """The train state as NumPy arrays, with the data of its key."""
    return jax.device_get(train_state._replace(key=jax.random.key_data(train_state.key)))


def to_device(train_state: TrainState) -> TrainState:
    """The inverse of `to_host`."""
    train_state = jax.tree.map(jax.device_put, train_state)
    return train_state._replace(key=jax.random.wrap_key_data(train_state.key))
