"""Evaluation and prediction in fixed, padded blocks: any number of rows compiles once."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.devices import divided
from jaxnets.layer import Array, Layer, Params, State
from jaxnets.lowering import batch_inside
from jaxnets.metrics import Metric, batch_sums, classes
from jaxnets.metrics.classification import is_single_logit, single_logit
from jaxnets.metrics.per_example import at_least_float32
from jaxnets.training.update import Hyper, build

BLOCK = 500  # rows


def evaluate(
    model: Layer | Callable[[Hyper], Layer],
    params: Params,
    state: State,
    split: tuple[Any, Any],
    metrics: Mapping[str, Metric],
    *,
    hyper: Hyper = None,
    block_size: int = BLOCK,
) -> dict[str, Any]:
    """Each metric over the whole split, exact: sums over blocks, the last one masked.

    Args:
      model: the network, or a function of `hyper` that returns it; it runs with `train=False`.
      params: its parameters.
      state: its state.
      split: inputs (n, ...) and labels (n, ...), n at least 1.
      metrics: what to compute, by name.
      hyper: traced hyperparameters of the model, if it has any.
      block_size: rows a block; it bounds memory and changes no result.

    Returns:
      The values by name: floats, and NumPy arrays for what is no scalar.
    """
    x, y = split
    if len(x) == 0 or len(x) != len(y):
        raise ValueError(
            f"evaluate expects as many labels as inputs, at least one, but got {len(x)} inputs "
            f"and {len(y)} labels"
        )
    named = tuple(metrics.items())
    sums = [
        _block_sums(model, named, hyper, params, state, *block)
        for block in blocks(block_size, x, y)
    ]
    return values(metrics, jax.tree.map(lambda *parts: jnp.stack(parts).sum(0), *sums))


def values(metrics: Mapping[str, Metric], sums: Mapping[str, Any]) -> dict[str, Any]:
    """Each metric's value from its sums: floats, and NumPy arrays for what is no scalar."""
    arrays = {name: np.asarray(metric.value(sums[name])) for name, metric in metrics.items()}
    return {name: a.item() if a.ndim == 0 else a for name, a in arrays.items()}


def probabilities(outputs: Array) -> Array:
    """The probability of each class, (n, classes); of class 1, (n,), for a single logit."""
    outputs = at_least_float32(outputs)
    if is_single_logit(outputs):
        return jax.nn.sigmoid(single_logit(outputs))
    return jax.nn.softmax(outputs)


def predict_outputs(
    model: Layer, params: Params, state: State, x: Any, *, block_size: int = BLOCK
) -> np.ndarray:
    """The model's own outputs, (n, ...): logits, or the values themselves in regression."""
    return _map_blocks(jax.nn.identity, model, params, state, x, block_size)


def predict_proba(
    model: Layer, params: Params, state: State, x: Any, *, block_size: int = BLOCK
) -> np.ndarray:
    """The probability of each class, (n, classes); of class 1, (n,), for a single logit."""
    return _map_blocks(probabilities, model, params, state, x, block_size)


def predict(
    model: Layer, params: Params, state: State, x: Any, *, block_size: int = BLOCK
) -> np.ndarray:
    """The most probable class of each row, int32 (n,)."""
    return _map_blocks(classes, model, params, state, x, block_size).astype(np.int32)


@partial(jax.jit, static_argnums=(0, 1))
def _block_sums(
    model: Layer | Callable[[Hyper], Layer],
    metrics: tuple[tuple[str, Metric], ...],
    hyper: Hyper,
    params: Params,
    state: State,
    x: Array,
    y: Array,
    weights: Array,
) -> dict[str, Any]:
    x, y, weights = divided((x, y, weights))
    outputs, _ = batch_inside(build(model, hyper).apply)(params, state, x)
    return batch_sums(metrics, outputs, y, weights)


@partial(jax.jit, static_argnums=(0, 1))
def _block_outputs(finish: Any, model: Layer, params: Params, state: State, x: Array) -> Array:
    return finish(batch_inside(model.apply)(params, state, x)[0])


def _map_blocks(
    finish: Any, model: Layer, params: Params, state: State, x: Any, block_size: int
) -> np.ndarray:
    found = [
        _block_outputs(finish, model, params, state, x_block)
        for x_block, _ in blocks(block_size, x)
    ]
    return np.concatenate(found)[: len(x)]


def blocks(size: int, *arrays: Any) -> Iterator[tuple[np.ndarray, ...]]:
    """Blocks of `size` rows of each array, the last padded with zeros, and their weights."""
    arrays = tuple(map(np.asarray, arrays))
    rows = len(arrays[0])
    for start in range(0, max(rows, 1), size):
        parts = [array[start : start + size] for array in arrays]
        rest = size - len(parts[0])
        padded = [np.pad(part, [(0, rest)] + [(0, 0)] * (part.ndim - 1)) for part in parts]
        weights = np.arange(start, start + size) < rows
        yield *padded, weights.astype(np.float32)
