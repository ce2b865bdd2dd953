"""Loads Flax Linen's weights: its LSTM, GRU and simple cells, Dense, Conv and Embed.

Does not import Flax.
"""

from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.interop.weights import Flat, below, expected, fitting, read
from jaxnets.layer import Layer, Params, State
from jaxnets.trees import flatten_names, unflatten_names

GATES = {"LSTM": ("i", "f", "g", "o"), "GRU": ("r", "z", "n")}


def load(params: dict[str, Any] | str | Path, layer: Layer, x: Any) -> tuple[Params, State]:
    """The params and state of `layer` with the params of a Linen module.

    A module's name is the layer's. `nn.RNN(nn.LSTMCell(64), name="rnn")`, or one of
    `OptimizedLSTMCell`, `GRUCell` and `SimpleCell`, becomes `rnn`; the modules `forward_rnn` and
    `backward_rnn` become `forward` and `backward`, the children of `bidirectional`.

    Args:
      params: `variables["params"]`, nested dicts of arrays, or a .safetensors file of them.
      layer: the layer to load them into.
      x: an example batch or a `jax.ShapeDtypeStruct`; only its shape and dtype matter.

    Raises:
      LayerError: weights that are missing, that have no place in the layer, or that differ in
        shape or dtype; lists all of them.
    """
    tree = unflatten_names(read("interop.flax.load", params))
    return fitting(_converted("", tree), expected(layer, x))


def _converted(path: str, tree: dict[str, Any]) -> Flat:
    """The module's arrays under our names."""
    if (cell := _cell(tree)) is not None:
        return below(path, cell)
    flat: Flat = {}
    for name, child in tree.items():
        if isinstance(child, dict):
            ours = {"cell": "", "forward_rnn": "forward", "backward_rnn": "backward"}
            step = ours.get(name, name)
            flat |= _converted("/".join(filter(None, (path, step))), child)
        else:
            flat |= below(path, {name: child})
    return flat


def _cell(tree: dict[str, Any]) -> Flat | None:
    """The params of a recurrent cell; None for any other module."""
    if {"i", "h"} == tree.keys():
        kernels = {"kernel": tree["i"]["kernel"], "recurrent_kernel": tree["h"]["kernel"]}
        return kernels | {"bias": tree["i"]["bias"]}
    for kind, gates in GATES.items():
        if tree.keys() == {f"{side}{gate}" for side in "ih" for gate in gates}:
            cell = flatten_names(tree)
            joined = {
                ours: np.concatenate([cell[f"{side}{gate}/kernel"] for gate in gates], axis=-1)
                for ours, side in (("kernel", "i"), ("recurrent_kernel", "h"))
            }
            side = "h" if kind == "LSTM" else "i"
            joined["bias"] = np.concatenate([cell[f"{side}{gate}/bias"] for gate in gates])
            return joined | ({"recurrent_bias": cell["hn/bias"]} if kind == "GRU" else {})
    return None
