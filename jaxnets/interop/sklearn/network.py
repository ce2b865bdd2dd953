"""From an estimator's settings to a network, its update, and a train state that can be pickled."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnets import losses
from jaxnets.layer import Array, Layer, Params
from jaxnets.metrics import Metric
from jaxnets.models import mlp
from jaxnets.training import TrainState, Update, make_update
from jaxnets.training.update import Loss

Build = Callable[[int, int], Layer]

ACTIVATIONS = {
    "identity": jax.nn.identity,
    "logistic": jax.nn.sigmoid,
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
}


class Architecture(NamedTuple):
    """What a network is made from: numbers and names, so that it can be pickled and compared."""

    build: Build | None
    hidden: tuple[int, ...]
    activation: str
    inputs: int
    outputs: int


@cache  # so that equal architectures are one network, and share what is compiled for it
def network(architecture: Architecture) -> Layer:
    """What the builder returns or, without one, the MLP; maps (n, inputs) to (n, outputs)."""
    build, hidden, activation, inputs, outputs = architecture
    if build is None:
        return mlp((*hidden, outputs), activation=ACTIVATIONS[activation])
    if not isinstance(model := build(inputs, outputs), Layer):
        raise TypeError(f"build({inputs}, {outputs}) must return a Layer, but got {model!r}")
    rows = jax.ShapeDtypeStruct((1, inputs), jnp.float32)
    params, state = jax.eval_shape(model.init, jax.random.key(0), rows)
    found = jax.eval_shape(model.apply, params, state, rows)[0].shape
    if found != (1, outputs):
        raise ValueError(
            f"build({inputs}, {outputs}) must return a Layer from (1, {inputs}) to (1, {outputs}), "
            f"but got one to {found}; end it with dense(n_outputs)"
        )
    return model


def update_of(architecture: Architecture, loss: Loss, metrics: dict[str, Metric]) -> Update:
    """Adam on the mean loss plus l2 |W|^2, both rates traced; equal arguments, equal update."""
    return make_update(network(architecture), _adam, loss, metrics=metrics, penalty=_penalty)


def to_host(train_state: TrainState) -> TrainState:
    """The train state in NumPy arrays, its key as the numbers it is made of."""
    return jax.device_get(train_state._replace(key=jax.random.key_data(train_state.key)))


def to_device(train_state: TrainState) -> TrainState:
    """The inverse of `to_host`."""
    train_state = jax.tree.map(jnp.asarray, train_state)
    return train_state._replace(key=jax.random.wrap_key_data(train_state.key))


def _adam(hyper: dict[str, Array]) -> optax.GradientTransformation:
    return optax.adam(hyper["learning_rate"])


def _penalty(params: Params, hyper: dict[str, Array]) -> Array:
    return losses.l2(params, hyper["l2"])
