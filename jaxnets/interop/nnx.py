"""Flax NNX's modules as layers."""

from typing import Any

import jax.numpy as jnp

from jaxnets.errors import LayerError
from jaxnets.keys import stream
from jaxnets.layer import Key, Layer, Params, State
from jaxnets.trees import flatten_names, unflatten_names


def from_nnx(module: Any) -> Layer:
    """A Flax NNX module as a layer, which can be trained and be part of other layers.

    `init` returns the module's own weights, whatever the key: for another seed make another module.
    Its `nnx.Param`s are the params, and all other variables, such as running statistics, the state;
    `train` chooses between `module.train()` and `module.eval()`. Random streams, such as that of
    dropout, start from the key of `apply`. The module itself never changes.

    Args:
      module: a module that is called with one input.

    Raises:
      LayerError: `module` is not an NNX module.
    """
    from flax import nnx

    if not isinstance(module, nnx.Module):
        raise LayerError(
            f"from_nnx expects an NNX module, but got {type(module).__name__}; make an instance of "
            "it, or use from_linen for one of Linen"
        )
    graphs = {train: nnx.graphdef(_in_mode(nnx.clone(module), train)) for train in (False, True)}
    initial, rngs, others = nnx.state(nnx.clone(module), nnx.Param, nnx.RngState, ...)

    def init(key: Key, x: Any) -> tuple[Params, State]:
        del key, x
        return _arrays(initial), _arrays(others)

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        streams = rngs if key is None else _seeded(rngs, key)
        parts = _with_values(initial, params), streams, _with_values(others, state)
        merged = nnx.merge(graphs[train], *parts)
        y = merged(x)
        return y, _arrays(nnx.state(merged, nnx.Not(nnx.Any(nnx.Param, nnx.RngState))))

    return Layer(init, apply)


def _in_mode(module: Any, train: bool) -> Any:
    (module.train if train else module.eval)()
    return module


def _arrays(state: Any) -> dict[str, Any]:
    """The values of variables, as nested dicts by name; items of a list are numbered."""
    from flax import nnx

    flat = {"/".join(map(str, path)): leaf.get_value() for path, leaf in nnx.to_flat_state(state)}
    return unflatten_names(flat)


def _with_values(state: Any, values: dict[str, Any]) -> Any:
    """The variables with other values."""
    from flax import nnx

    flat = flatten_names(values)
    return nnx.from_flat_state(
        [
            (path, leaf.replace(flat["/".join(map(str, path))]))
            for path, leaf in nnx.to_flat_state(state)
        ]
    )


def _seeded(state: Any, key: Key) -> Any:
    """Random streams that start from a key, each from one of its own."""
    from flax import nnx

    def seeded(path: tuple, leaf: Any) -> Any:
        if isinstance(leaf, nnx.RngKey):
            return leaf.replace(stream(key, "/".join(map(str, path))))
        return leaf.replace(jnp.zeros_like(leaf.get_value()))

    return nnx.from_flat_state([(p, seeded(p, leaf)) for p, leaf in nnx.to_flat_state(state)])
