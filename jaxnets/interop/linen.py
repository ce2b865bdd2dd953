"""Flax Linen's modules as layers, and layers as Linen's modules."""

import inspect
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.errors import LayerError
from jaxnets.keys import stream
from jaxnets.layer import Key, Layer, Params, State

FLAGS = {  # the arguments by which modules distinguish training: their value in training
    "train": True,
    "training": True,
    "is_training": True,
    "deterministic": False,
    "use_running_average": False,
    "inference": False,
}


def from_linen(module: Any, *, rngs: Sequence[str] = ("dropout",)) -> Layer:
    """A Flax Linen module as a layer, which can be trained and be part of other layers.

    Its params are the layer's; its other collections, such as {"batch_stats": ...}, are the state.
    An argument `train`, `training` or `is_training` gets `train`; `deterministic`,
    `use_running_average` or `inference` gets the opposite.

        serial(("body", from_linen(Encoder())), ("head", dense(10)))

    Args:
      module: a module that is called with one input.
      rngs: the names of the random streams that it uses in training.

    Raises:
      LayerError: `module` is not a Linen module.
    """
    from flax import linen as nn

    if not isinstance(module, nn.Module):
        raise LayerError(
            f"from_linen expects a Linen module, but got {type(module).__name__}; make an instance "
            "of it, or use from_nnx for one of NNX"
        )
    flags = training_flags(type(module).__call__)

    def init(key: Key, x: Any) -> tuple[Params, State]:
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), x)
        options: dict[str, Any] = {name: not value for name, value in flags.items()}
        keys = {"params": key} | {name: stream(key, name) for name in rngs}
        variables = dict(module.init(keys, zeros, **options))
        return variables.pop("params", {}), variables

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        options: dict[str, Any] = {name: value == train for name, value in flags.items()}
        if key is not None:
            options["rngs"] = {name: stream(key, name) for name in rngs}
        variables = {"params": params, **state}
        if not (train and state):
            return module.apply(variables, x, **options), state
        y, after = module.apply(variables, x, mutable=list(state), **options)
        return y, {**state, **after}

    return Layer(init, apply)


def training_flags(call: Any) -> dict[str, bool]:
    """The arguments of a call that distinguish training, with their value in training."""
    parameters = inspect.signature(call).parameters
    return {name: value for name, value in FLAGS.items() if name in parameters}


def to_linen(layer: Layer, name: str | None = None) -> Any:
    """A layer as a Flax Linen module, `module(x, train=False)`.

    Its params are the variable `params["layer"]`, its state is `batch_stats["layer"]`, and in
    training it uses the random stream "dropout".

    Raises:
      LayerError: `layer` is not a `Layer`.
    """
    from flax import linen as nn

    if not isinstance(layer, Layer):
        raise LayerError(f"to_linen expects a Layer, but got {layer!r}; wrap it in serial(...)")

    class JaxnetsLayer(nn.Module):
        """A jaxnets layer."""

        @nn.compact
        def __call__(self, x: Any, train: bool = False) -> Any:
            params = self.param("layer", lambda key: layer.init(key, x)[0])
            _, spec = jax.eval_shape(layer.init, jax.random.key(0), x)
            key = self.make_rng("dropout") if train and self.has_rng("dropout") else None
            if not jax.tree.leaves(spec):
                return layer.apply(params, {}, x, key=key, train=train)[0]
            state = self.variable("batch_stats", "layer", lambda: initial_state(self, x))
            y, after = layer.apply(params, state.value, x, key=key, train=train)
            if self.is_mutable_collection("batch_stats") and not self.is_initializing():
                state.value = after
            return y

    def initial_state(module: Any, x: Any) -> State:
        return layer.init(module.make_rng("params"), x)[1]

    return JaxnetsLayer(name=name)
