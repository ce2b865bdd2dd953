"""Loads Keras's weights into a layer. Does not import Keras."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.interop.keras_file import KerasFile, layers
from jaxnets.interop.keras_file import read as read_file
from jaxnets.interop.tracing import usage
from jaxnets.interop.weights import Flat, below, expected, fitting, gru_biases, read, weight_specs
from jaxnets.layer import Layer, Params, State

KINDS = {
    "embeddings": "embedding", "gamma": "scale", "beta": "bias", "moving_mean": "mean",
    "moving_variance": "var", "alpha": "slope", "depthwise_kernel": "depthwise/kernel",
    "pointwise_kernel": "pointwise/kernel",
}  # fmt: skip
ELSEWHERE = {"depthwise_kernel": "kernel", "bias": "pointwise/bias"}  # if the layer lacks it
EPSILON_TOLERANCE = 1e-5  # of the rounding to float32


def load(
    weights: dict[str, Any] | str | Path,
    layer: Layer,
    x: Any,
    *,
    names: Callable[[str], str] | None = None,
    dtype: Any = None,
) -> tuple[Params, State]:
    """The params and state of `layer` with the weights of a Keras model.

    Layers must have the same names in both models; otherwise pass `names`. The cell of a recurrent
    layer has no name here; those of `Bidirectional` are `forward` and `backward`, the children of
    `bidirectional`. Gates are put into our order; a GRU needs `reset_after=True`, the default. A
    file with the model's configuration is also compared with what `layer` does: Keras adds 0.001 to
    variances by default, so its norms correspond to `batch_norm(epsilon=1e-3)` and
    `layer_norm(epsilon=1e-3)`.

    Args:
      weights: a .keras, .weights.h5 or legacy .h5 file, read by h5py (`pip install
        'jaxnets[keras]'`); arrays by path, {w.path: w.numpy() for w in model.weights}, where the
        name of the model is left out; or a .safetensors file of them.
      layer: the layer to load them into.
      x: an example batch or a `jax.ShapeDtypeStruct`; only its shape and dtype matter.
      names: a function from the path of a Keras layer to the path of ours.
      dtype: the dtype to cast floats to; by default the model's, but only if it is wider.

    Raises:
      LayerError: missing, unknown or misfitting weights (wrong shape or dtype), another epsilon, or
        images with channels first, all in one error; or a damaged file.
      OSError: the file does not exist.
    """
    specs = expected(layer, x)
    leaves = weight_specs(specs)
    if isinstance(weights, str | Path) and not str(weights).endswith(".safetensors"):
        file = read_file(weights)
    else:
        arrays = read("interop.keras.load", weights)
        file = KerasFile(_without_model(arrays, leaves), {})
    flat = _converted(file.arrays, names or (lambda path: path), leaves)
    known = [(_path(path, names), kind, options) for path, kind, options in layers(file.config)]
    problems = list(_differences(known, usage(layer, specs, x).epsilons if known else {}))
    return fitting(flat, layer, x, specs, dtype=dtype, problems=problems)


def _without_model(arrays: Flat, leaves: dict[str, Any]) -> Flat:
    """The arrays without the name of the model, if all paths start with the same one."""
    first = {name.split("/")[0] for name in arrays}
    if len(first) != 1 or first & {path.split("/")[0] for path in leaves if "/" in path}:
        return arrays
    return {name.partition("/")[2]: array for name, array in arrays.items()}


def _converted(arrays: Flat, names: Callable[[str], str], leaves: dict[str, Any]) -> Flat:
    """The arrays under our names, and with the axes and gates of ours."""
    flat: Flat = {}
    grus = {name.rpartition("/")[0] for name, a in arrays.items() if _is_gru_bias(name, a)}
    for name, array in arrays.items():
        path, _, kind = name.rpartition("/")
        ours = _path(path, names)
        if path not in grus:
            [target] = below(ours, {KINDS.get(kind, kind): array})
            if target not in leaves:
                [other] = below(ours, {ELSEWHERE.get(kind, kind): array})
                target = other if other in leaves else target
            flat[target] = _with_our_axes(array, leaves.get(target))
        elif _is_gru_bias(name, array):
            flat |= below(ours, gru_biases(*map(_reordered, array)))
        else:
            flat |= below(ours, {kind: _reordered(array)})
    return flat


def _path(path: str, names: Callable[[str], str] | None) -> str:
    renamed = "/".join(filter(None, map(_renamed, path.split("/"))))
    return names(renamed) if names else renamed


def _renamed(name: str) -> str:
    if name.endswith("_cell"):
        return ""
    return next((side for side in ("forward", "backward") if name.startswith(f"{side}_")), name)


def _with_our_axes(array: np.ndarray, spec: Any) -> np.ndarray:
    """Depthwise kernels (..., channels, multiplier) and slopes (1, 1, channels) in our shape."""
    if spec is None or array.shape == spec.shape or array.size != math.prod(spec.shape):
        return array
    depthwise = array.ndim == len(spec.shape) > 2 and spec.shape[-2] == 1
    slopes = len(spec.shape) == 1 and array.shape[-1:] == spec.shape
    return array.reshape(spec.shape) if depthwise or slopes else array


def _differences(config: list, epsilons: dict[str, float]) -> Iterator[str]:
    """How the configuration differs from what the layer does, in lines."""
    for path, kind, options in config:
        epsilon, ours = options.get("epsilon"), epsilons.get(path)
        if not kind.endswith("Normalization") or not epsilon or not ours:
            ours = epsilon = 1.0
        if not math.isclose(epsilon, ours, rel_tol=EPSILON_TOLERANCE):
            yield f"{path} has epsilon={ours:g} and should have epsilon={epsilon:g}"
        if options.get("data_format") == "channels_first":
            yield f"{path} has channels first, but here they come last; build it with channels_last"


def _is_gru_bias(name: str, array: np.ndarray) -> bool:
    return name.endswith("_cell/bias") and array.ndim == 2


def _reordered(array: np.ndarray) -> np.ndarray:
    """The gates z, r, n along the last axis in the order r, z, n."""
    z, r, n = np.split(array, 3, axis=-1)
    return np.concatenate([r, z, n], axis=-1)
