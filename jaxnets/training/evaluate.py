"""Evaluation and prediction in fixed, padded blocks: any number of rows compiles once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import RunError
from jaxnets.layer import Array
from jaxnets.metrics import Metric, classes
from jaxnets.training.programs import program
from jaxnets.training.runners import OneModel, Runner
from jaxnets.training.train_step import Batch, Hparams, Sums, resolve

BLOCK = 500  # rows
Named = tuple[tuple[str, Metric], ...]


def evaluate(
    train_step: Any,
    train_state: Any,
    split: Any,
    *,
    hparams: Hparams = None,
    metrics: Mapping[str, Metric] | None = None,
    block_size: int = BLOCK,
) -> dict[str, Any]:
    """Each metric over the whole split, exact: sums over blocks, the last one masked.

    Args:
      train_step: as `fit` takes it; its model runs with `train=False`.
      train_state: what `fit` left, in `FitResult.train_state`.
      split: inputs (n, ...) and labels (n, ...), n at least 1.
      hparams: what the train step is a function of, if it is one.
      metrics: what to compute, by name; by default the metrics of the train step.
      block_size: rows per block; it bounds memory and changes no result.

    Returns:
      The values by name: floats, and NumPy arrays for what is no scalar.
    """
    options = {"metrics": metrics, "block_size": block_size}
    return evaluate_members(train_step, train_state, split, hparams, OneModel(), **options)


def evaluate_members(
    train_step: Any,
    train_state: Any,
    split: Any,
    hparams: Hparams,
    runner: Runner,
    diverged: Sequence[int] = (),
    *,
    metrics: Mapping[str, Metric] | None = None,
    block_size: int = BLOCK,
) -> dict[str, Any]:
    """`evaluate` by a runner: of a population, arrays with a leading axis of members."""
    named = None if metrics is None else tuple(metrics.items())
    block_sums = program(train_step, _make_block_sums, runner, named)
    x, y = split
    if len(x) == 0 or len(x) != len(y):
        raise ValueError(
            f"evaluate expects as many labels as inputs, at least one, but got {len(x)} inputs "
            f"and {len(y)} labels"
        )
    own = (train_state, hparams)
    sums = [block_sums(own, Batch(*block)) for block in blocks(block_size, x, y)]
    total = jax.tree.map(lambda *parts: jnp.stack(parts).sum(0), *sums)
    return values(train_step, total, hparams, runner, diverged, named=named)


def values(
    train_step: Any,
    sums: Sums,
    hparams: Hparams,
    runner: Runner,
    diverged: Sequence[int] = (),
    *,
    named: Named | None = None,
) -> dict[str, Any]:
    """Each figure from its sums: floats, and NumPy arrays for what is no scalar.

    Of a population each has a leading axis of members, and is NaN for those that diverged.
    """

    def member(own: tuple[Sums, Hparams], shared: None) -> dict[str, Array]:
        del shared
        step = _with_metrics(resolve(train_step, own[1])[0], named)
        return step.values(own[0]) if hasattr(step, "values") else {}

    if isinstance(runner, OneModel):
        arrays = {name: np.asarray(v) for name, v in member((sums, hparams), None).items()}
        return {name: a.item() if a.ndim == 0 else a for name, a in arrays.items()}
    arrays = jax.vmap(member, in_axes=(0, None))((sums, hparams), None)
    lost = np.array(diverged or [-1] * runner.members) >= 0
    return {
        name: np.where(lost.reshape(-1, *[1] * (value.ndim - 1)), np.nan, value)
        if lost.any()
        else np.asarray(value)
        for name, value in arrays.items()
    }


def probabilities(outputs: Array) -> Array:
    """The probability of each class, (n, classes); of class 1, (n,), for a single logit."""
    if outputs.ndim == 1 or outputs.shape[-1] == 1:
        return jax.nn.sigmoid(outputs.reshape(-1))
    return jax.nn.softmax(outputs)


def predict_outputs(
    train_step: Any,
    train_state: Any,
    x: Any,
    *,
    hparams: Hparams = None,
    block_size: int = BLOCK,
) -> np.ndarray:
    """The model's own outputs, (n, ...): logits, or the values themselves in regression."""
    own = (train_state, hparams)
    return predict_members(jax.nn.identity, train_step, own, x, OneModel(), block_size)


def predict_proba(
    train_step: Any,
    train_state: Any,
    x: Any,
    *,
    hparams: Hparams = None,
    block_size: int = BLOCK,
) -> np.ndarray:
    """The probability of each class, (n, classes); of class 1, (n,), for a single logit."""
    own = (train_state, hparams)
    return predict_members(probabilities, train_step, own, x, OneModel(), block_size)


def predict(
    train_step: Any,
    train_state: Any,
    x: Any,
    *,
    hparams: Hparams = None,
    block_size: int = BLOCK,
) -> np.ndarray:
    """The most probable class of each row, int32 (n,)."""
    own = (train_state, hparams)
    found = predict_members(classes, train_step, own, x, OneModel(), block_size)
    return found.astype(np.int32)


def predict_members(
    finish: Callable[[Array], Array],
    train_step: Any,
    own: tuple[Any, Hparams],
    x: Any,
    runner: Runner,
    block_size: int = BLOCK,
) -> np.ndarray:
    """`finish` of the outputs; of a population with a leading axis of members."""
    block_outputs = program(train_step, _make_block_outputs, runner, finish)
    axis = 0 if isinstance(runner, OneModel) else 1
    found = [block_outputs(own, block) for block, _ in blocks(block_size, x)]
    return np.concatenate(found, axis).take(np.arange(len(x)), axis)


def _make_block_sums(
    step: Callable[[], Any], runner: Runner, named: Named | None
) -> Callable[..., Sums]:
    def member(own: Any, batch: Batch) -> Sums:
        train_state, hparams = own
        train_step = _with_metrics(resolve(step(), hparams)[0], named)
        return train_step.evaluate_batch(train_state, batch)

    def block_sums(own: Any, batch: Batch) -> Sums:
        return runner.each(member, len(batch.weights))(own, batch)

    return block_sums


def _make_block_outputs(
    step: Callable[[], Any], runner: Runner, finish: Callable[[Array], Array]
) -> Callable[..., Array]:
    def member(own: Any, x: Any) -> Array:
        train_state, hparams = own
        return finish(resolve(step(), hparams)[0].predict_batch(train_state, x))

    def block_outputs(own: Any, x: Any) -> Array:
        return runner.each(member, len(jax.tree.leaves(x)[0]))(own, x)

    return block_outputs


def _with_metrics(train_step: Any, named: Named | None) -> Any:
    if named is None:
        return train_step
    if not hasattr(train_step, "with_metrics"):
        raise RunError(
            f"metrics={[name for name, _ in named]} are for a TrainStep, but this train step is a "
            f"{type(train_step).__name__}, which says itself what to evaluate; leave metrics out"
        )
    return train_step.with_metrics(dict(named))


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
