"""Loads Keras's weights: SimpleRNN, LSTM, GRU, Dense and Embedding. Does not import Keras."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.interop.weights import Flat, below, expected, fitting, gru_biases, read
from jaxnets.layer import Layer, Params, State


def load(weights: dict[str, Any] | str | Path, layer: Layer, x: Any) -> tuple[Params, State]:
    """The params and state of `layer` with the weights of a Keras model or layer.

    A layer's name is that of ours: in `{w.path: w.numpy() for w in model.weights}` the first name
    is that of the model, which is left out, then come those of its layers. The cell of a recurrent
    layer has no name here; those of `Bidirectional` are `forward` and `backward`, the children of
    `bidirectional`. Gates are put into our order; a GRU needs `reset_after=True`, the default.

    Args:
      weights: arrays by path, as above, or a .safetensors file of them.
      layer: the layer to load them into.
      x: an example batch or a `jax.ShapeDtypeStruct`; only its shape and dtype matter.

    Raises:
      LayerError: weights that are missing, that have no place in the layer, or that differ in
        shape or dtype; lists all of them.
    """
    flat: Flat = {}
    arrays = read("interop.keras.load", weights)
    grus = {name.rpartition("/")[0] for name, a in arrays.items() if _is_gru_bias(name, a)}
    for name, array in arrays.items():
        path, _, kind = name.rpartition("/")
        ours = "/".join(filter(None, map(_renamed, path.split("/")[1:])))
        if path not in grus:
            kind = "embedding" if kind == "embeddings" else kind
            flat |= below(ours, {kind: array})
        elif _is_gru_bias(name, array):
            flat |= below(ours, gru_biases(*map(_reordered, array)))
        else:
            flat |= below(ours, {kind: _reordered(array)})
    return fitting(flat, expected(layer, x))


def _renamed(name: str) -> str:
    if name.endswith("_cell"):
        return ""
    return next((side for side in ("forward", "backward") if name.startswith(f"{side}_")), name)


def _is_gru_bias(name: str, array: np.ndarray) -> bool:
    return name.endswith("gru_cell/bias") and array.ndim == 2


def _reordered(array: np.ndarray) -> np.ndarray:
    """The gates z, r, n along the last axis in the order r, z, n."""
    z, r, n = np.split(array, 3, axis=-1)
    return np.concatenate([r, z, n], axis=-1)
