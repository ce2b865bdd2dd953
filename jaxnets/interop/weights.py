"""Weights of other libraries as the params of a layer: what their loaders have in common."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnets.errors import LayerError
from jaxnets.interop import safetensors
from jaxnets.layer import Layer, Params, State
from jaxnets.trees import check_names, flatten_names, unflatten_names

Flat = dict[str, np.ndarray]  # by path, the names joined with slashes


def read(where: str, weights: Any) -> Flat:
    """The arrays by name, of a mapping from names to arrays or of a .safetensors file.

    Raises:
      LayerError: neither of the two, or a value that does not convert to NumPy.
    """
    if isinstance(weights, str | Path):
        weights = flatten_names(safetensors.load(weights))
    if not isinstance(weights, Mapping):
        raise LayerError(
            f"{where} expects a dict of arrays by name or the path of a .safetensors file, but got "
            f"a {type(weights).__name__}; pass what state_dict() returned"
        )
    arrays = {name: np.asarray(value) for name, value in flatten_names(dict(weights)).items()}
    if invalid := [name for name, array in arrays.items() if array.dtype.kind not in "fiub"]:
        raise LayerError(
            f"{where} expects arrays of numbers, but got {invalid}; convert them to NumPy first"
        )
    return arrays


def expected(layer: Layer, x: Any) -> tuple[Params, State]:
    """The shapes and dtypes of the layer's params and state for an input."""
    return jax.eval_shape(layer.init, jax.random.key(0), x)


def fitting(flat: Flat, specs: tuple[Params, State]) -> tuple[Params, State]:
    """The params, as JAX arrays, and the state, which has to be empty.

    Raises:
      LayerError: names that are missing or not in the layer, wrong shapes or dtypes; lists all.
    """
    params, state = specs
    check_names(unflatten_names(flat), params | state)
    return jax.tree.map(jax.numpy.asarray, unflatten_names(flat)), {}


def gru_biases(first: np.ndarray, second: np.ndarray) -> Flat:
    """The params of a GRU's two biases, each (3 * units,) for the gates r, z, n.

    Those of r and z are added up; the second of n is the one inside r * (...).
    """
    rz = len(first) // 3 * 2
    bias = np.concatenate([first[:rz] + second[:rz], first[rz:]])
    return {"bias": bias, "recurrent_bias": second[rz:]}


def below(path: str, arrays: Flat) -> Flat:
    """The arrays with the path before their names."""
    return {f"{path}/{name}" if path else name: array for name, array in arrays.items()}
