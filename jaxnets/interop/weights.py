"""Weights of other libraries as the params of a layer: what their loaders have in common."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import LayerError
from jaxnets.interop import safetensors
from jaxnets.layer import Layer, Params, State
from jaxnets.messages import printable
from jaxnets.trees import flatten_names, misfits, unflatten_names

Flat = dict[str, np.ndarray]  # by path, the names joined with slashes
STATISTICS = ("mean", "var")  # the state that other libraries save


def read(where: str, weights: Any) -> Flat:
    """The arrays by name, of a mapping from names to arrays or of a .safetensors file.

    Raises:
      LayerError: neither of the two, a damaged file, or a value that does not convert to NumPy.
    """
    if isinstance(weights, str | Path):
        try:
            weights = flatten_names(safetensors.load(weights))
        except ValueError as error:
            raise LayerError(f"{where}: {error}") from error
    if not isinstance(weights, Mapping):
        raise LayerError(
            f"{where} expects a dict of arrays by name or the path of a .safetensors file, but got "
            f"a {type(weights).__name__}; pass what state_dict() returned"
        )
    arrays = {name: _as_numpy(value) for name, value in flatten_names(dict(weights)).items()}
    if invalid := [printable(name) for name, array in arrays.items() if array is None]:
        raise LayerError(
            f"{where} expects arrays of numbers, but got {invalid}; convert them to NumPy first"
        )
    return {name: array for name, array in arrays.items() if array is not None}


def _as_numpy(value: Any) -> np.ndarray | None:
    """The value as an array of numbers; None if NumPy cannot hold it (torch.bfloat16)."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):
        return None
    is_number = jnp.issubdtype(array.dtype, jnp.number) or array.dtype == bool
    return array if is_number else None


def expected(layer: Layer, x: Any) -> tuple[Params, State]:
    """The shapes and dtypes of the layer's params and state for an input.

    Raises:
      LayerError: no layer, or no input.
    """
    if not isinstance(layer, Layer) or not jax.tree.leaves(x):
        raise LayerError(
            f"load expects a layer and an example input, but got a {type(layer).__name__} and a "
            f"{type(x).__name__}; pass load(weights, model, x[:1])"
        )
    return jax.eval_shape(layer.init, jax.random.key(0), x)


def weight_specs(specs: tuple[Params, State]) -> dict[str, Any]:
    """The specs of all that is loaded, by path: the params, and the running statistics."""
    params, state = map(flatten_names, specs)
    return params | {path: spec for path, spec in state.items() if _is_statistic(path)}


def fitting(
    flat: Flat,
    layer: Layer,
    x: Any,
    specs: tuple[Params, State],
    *,
    dtype: Any = None,
    problems: Sequence[str] = (),
) -> tuple[Params, State]:
    """The params and the state as JAX arrays; state other than statistics comes from `init`.

    Args:
      flat: the weights under our names.
      layer: the model.
      x: the input that `specs` are for.
      specs: what `expected(layer, x)` returned.
      dtype: what floats are cast to; None keeps the model's dtype, and casts only to wider ones.
      problems: what else does not fit.

    Raises:
      LayerError: names that are missing or not in the model, wrong shapes or dtypes; lists all.
    """
    targets = weight_specs(specs)
    if dtype is not None:
        targets = {path: _with_dtype(spec, dtype) for path, spec in targets.items()}
    flat = {path: _cast(a, targets.get(path), dtype is not None) for path, a in flat.items()}
    if problems := sorted([*misfits(flat, targets), *problems]):
        lines = "\n  ".join(problems)
        raise LayerError(
            "the weights do not fit the model; build the model that they belong to, give its "
            "layers the names of the weights or pass names=, a function from their names to yours, "
            f"or pass dtype= to cast them:\n  {lines}"
        )
    params, state = map(flatten_names, specs)
    if not all(map(_is_statistic, state)):
        state = flatten_names(layer.init(jax.random.key(0), x)[1])
    loaded = {path: jax.device_put(array) for path, array in flat.items()}
    return (
        unflatten_names({path: loaded[path] for path in params}),
        unflatten_names({path: loaded.get(path, leaf) for path, leaf in state.items()}),
    )


def _is_statistic(path: str) -> bool:
    return path.rpartition("/")[2] in STATISTICS


def _with_dtype(spec: Any, dtype: Any) -> Any:
    is_float = jnp.issubdtype(spec.dtype, jnp.floating)
    return jax.ShapeDtypeStruct(spec.shape, jnp.dtype(dtype)) if is_float else spec


def _cast(array: np.ndarray, spec: Any, force: bool) -> np.ndarray:
    """The array in the dtype of the spec, if that keeps its values or is asked for."""
    if spec is None or array.dtype == spec.dtype:
        return array
    floats = all(jnp.issubdtype(d, jnp.floating) for d in (array.dtype, spec.dtype))
    wider = floats and jnp.promote_types(array.dtype, spec.dtype) == spec.dtype
    return array.astype(spec.dtype) if wider or (floats and force) else array


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
