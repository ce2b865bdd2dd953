"""Equinox's modules as layers."""

import inspect
from importlib import import_module
from typing import Any

import jax

from jaxnets.errors import LayerError
from jaxnets.layer import Key, Layer, Params, State
from jaxnets.trees import flatten_names, unflatten_names


def from_equinox(module: Any, state: Any = None) -> Layer:
    """An Equinox module as a layer, which can be trained and be part of other layers.

    `init` returns the module's own weights, whatever the key: for another seed make another module.
    Its arrays of floats are the params, by the names of their fields. An Equinox module takes one
    example, so the layer applies `vmap` to it over the batch, with the axis name "batch" for
    `eqx.nn.BatchNorm`, and with a key for each example if it takes one. `train` sets
    `inference` to the opposite.

        from_equinox(*eqx.nn.make_with_state(Net)(key))    # with batch norm

    Args:
      module: a module that is called as `module(x)`, `module(x, key=key)` or, with a state,
        `module(x, state)` or `module(x, state, key=key)`.
      state: its `eqx.nn.State`.

    Raises:
      LayerError: `module` is not an Equinox module.
    """
    eqx: Any = import_module("equinox")  # this module has its name

    if not isinstance(module, eqx.Module):
        raise LayerError(
            f"from_equinox expects an Equinox module, but got {type(module).__name__}; make an "
            "instance of it"
        )
    arrays, static = eqx.partition(module, eqx.is_inexact_array)
    own_params, params_tree = _flat(arrays)
    own_state, state_tree = _flat(state)
    takes_key = "key" in inspect.signature(type(module).__call__).parameters

    def init(key: Key, x: Any) -> tuple[Params, State]:
        del key, x
        return unflatten_names(own_params), unflatten_names(own_state)

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        leaves = flatten_names(params)
        current = params_tree.unflatten([leaves[name] for name in own_params])
        called = eqx.nn.inference_mode(eqx.combine(current, static), value=not train)
        before = flatten_names(state)
        carried = state_tree.unflatten([before[name] for name in own_state])
        keys = None if key is None else jax.random.split(key, jax.tree.leaves(x)[0].shape[0])

        def one(x: Any, key: Key | None) -> tuple[Any, Any]:
            options = {"key": key} if takes_key else {}
            return called(x, carried, **options) if own_state else (called(x, **options), carried)

        axes = (0, None if keys is None else 0)
        y, after = jax.vmap(one, axes, (0, None), axis_name="batch")(x, keys)
        return y, unflatten_names(dict(zip(own_state, jax.tree.leaves(after), strict=True)))

    return Layer(init, apply)


def _flat(tree: Any) -> tuple[dict[str, Any], Any]:
    """The leaves by path, and the structure of the tree."""
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    names = (jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves)
    return {name: leaf for name, (_, leaf) in zip(names, leaves, strict=True)}, structure
