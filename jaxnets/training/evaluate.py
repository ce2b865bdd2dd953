"""Evaluation and prediction in fixed, padded blocks: any number of rows compiles once."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.arrays import as_rows, as_split
from jaxnets.devices import divided
from jaxnets.layer import Array, Layer, Params, State
from jaxnets.lowering import batch_inside
from jaxnets.metrics import Metric, batch_sums, classes
from jaxnets.metrics.classification import is_single_logit, single_logit
from jaxnets.metrics.per_example import at_least_float32
from jaxnets.training.arguments import RunError, check_metrics, count, one_split
from jaxnets.training.check import check_model, explained
from jaxnets.training.labels import beyond_one, check_binary, judges_of
from jaxnets.training.update import Hyper, build

BLOCK = 500  # rows


@one_split
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

    Raises:
      RunError: a split, labels or sizes that do not fit, found before anything is compiled.
      TypeError: metrics that are none.
    """
    check_model("evaluate", model, params, of_hyper=True)
    metrics = check_metrics("evaluate", metrics)
    block_size = count("evaluate", "block_size", block_size)
    x, y = as_split("evaluate", "split", split, RunError)
    named = tuple(metrics.items())
    forward = partial(_forward.eval_shape, model, hyper, params, state)
    with explained("evaluate", forward, x):
        check_values("evaluate", forward, x, y, metrics, block_size)
        sums = [
            _block_sums(model, named, hyper, params, state, *block)
            for block in blocks(block_size, x, y)
        ]
    return values(metrics, jax.tree.map(lambda *parts: jnp.stack(parts).sum(0), *sums))


def values(metrics: Mapping[str, Metric], sums: Mapping[str, Any]) -> dict[str, Any]:
    """Each metric's value from its sums: floats, and NumPy arrays for what is no scalar."""
    with undefined_is_no_fault():
        arrays = {name: np.asarray(metric.value(sums[name])) for name, metric in metrics.items()}
    return {name: a.item() if a.ndim == 0 else a for name, a in arrays.items()}


@contextmanager
def undefined_is_no_fault() -> Iterator[None]:
    """In this context JAX_DEBUG_NANS and JAX_DEBUG_INFS are off: a metric may have no value."""
    with jax.debug_nans(False), jax.debug_infs(False):
        yield


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
    outputs = _forward(model, hyper, params, state, x)
    return batch_sums(metrics, outputs, y, weights)


# What is traced for its shape alone need not be traced again for the blocks.
@partial(jax.jit, static_argnums=0, inline=True)
def _forward(
    model: Layer | Callable[[Hyper], Layer], hyper: Hyper, params: Params, state: State, x: Array
) -> Array:
    return batch_inside(build(model, hyper).apply)(params, state, x)[0]


def check_values(
    where: str,
    forward: Callable[[Any], Any],
    x: Any,
    y: Any,
    metrics: Mapping[str, Metric],
    rows: int,
) -> None:
    """Refuse binary labels outside [-1, 1]; the shape of the outputs matters to such alone."""
    if beyond_one(np.asarray(y)):
        dtype = jax.dtypes.canonicalize_dtype(x.dtype)
        outputs = forward(jax.ShapeDtypeStruct((rows, *x.shape[1:]), dtype))
        check_binary(where, "split", outputs, y, judges_of(metrics))


@partial(jax.jit, static_argnums=(0, 1))
def _block_outputs(finish: Any, model: Layer, params: Params, state: State, x: Array) -> Array:
    return finish(batch_inside(model.apply)(params, state, x)[0])


def _map_blocks(
    finish: Any, model: Layer, params: Params, state: State, x: Any, block_size: int
) -> np.ndarray:
    check_model("predict", model, params)
    block_size = count("predict", "block_size", block_size)
    x = as_rows("predict", "the inputs", x, RunError)
    with explained("predict", partial(model.apply, params, state), x):
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
