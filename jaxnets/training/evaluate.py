"""Evaluation in fixed, padded blocks: any number of rows compiles once."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.arrays import as_examples, shape_of
from jaxnets.data.stream import Stream
from jaxnets.errors import RunError
from jaxnets.keys import clone_keys
from jaxnets.layer import Array
from jaxnets.metrics import Metric
from jaxnets.training.arguments import check_metrics, count, one_split
from jaxnets.training.check import check_train_state, check_train_step
from jaxnets.training.labels import beyond_one, check_binary, explained, judges_of
from jaxnets.training.programs import program
from jaxnets.training.runners import OneModel, Runner
from jaxnets.training.train_step import Batch, Hparams, Sums, TrainStep, resolve

BLOCK = 500  # rows
Named = tuple[tuple[str, Metric], ...]


@one_split
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
      split: inputs (n, ...), labels (n, ...) and, where examples count unequally, weights (n,),
        n at least 1; or a `data.Stream`.
      hparams: what the train step is a function of, if it is one.
      metrics: what to compute, by name; by default the metrics of the train step.
      block_size: rows per block; it bounds memory and changes no result.

    Returns:
      The values by name: floats, and NumPy arrays for what is no scalar.

    Raises:
      RunError: a split, labels or sizes that do not fit, found before anything is compiled.
      TypeError: metrics that are none.
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
    where: str = "evaluate",
    metrics: Mapping[str, Metric] | None = None,
    block_size: int = BLOCK,
) -> dict[str, Any]:
    """`evaluate` by a runner: of a population, arrays with a leading axis of members."""
    check_train_step(where, train_step)
    check_train_state(where, train_state)
    block_size = count(where, "block_size", block_size)
    named = None if metrics is None else tuple(check_metrics(where, metrics).items())
    if not isinstance(split, Stream):
        split = as_examples(where, "split", split, RunError)
    own = clone_keys((train_state, hparams))
    block_sums = program(train_step, _make_block_sums, runner, named)
    x = None if isinstance(split, Stream) else split.x
    with explained(where, first_outputs(train_step, own, runner), x):
        _check_values(where, train_step, own, split, runner, named, block_size)
        sums = [block_sums(own, block) for block in blocks(block_size, split)]
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

    # A metric may have no value: that is no fault, even under JAX_DEBUG_NANS.
    with undefined_is_no_fault():
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


def _make_block_sums(
    step: Callable[[], Any], runner: Runner, named: Named | None
) -> Callable[..., Sums]:
    def member(own: Any, batch: Batch) -> Sums:
        train_state, hparams = own
        train_step = _with_metrics(resolve(step(), hparams)[0], named)
        if not hasattr(train_step, "evaluate_batch"):
            raise RunError(
                f"to be evaluated, a {type(train_step).__name__} needs evaluate_batch(train_state, "
                "batch) -> sums and values(sums); see Trainable"
            )
        return train_step.evaluate_batch(train_state, batch)

    def block_sums(own: Any, batch: Batch) -> Sums:
        return runner.each(member, len(batch.weights))(own, batch)

    return block_sums


def first_outputs(train_step: Any, own: Any, runner: Runner) -> Callable[[Any], Any]:
    """The first member's outputs, a function of which only the shape is asked."""

    def forward(x: Any) -> Any:
        train_state, hparams = own
        if not isinstance(runner, OneModel):
            train_state, hparams = jax.tree.map(lambda leaf: leaf[0], own)
        step, _ = resolve(train_step, hparams)
        return step.predict_batch(train_state, x) if hasattr(step, "predict_batch") else None

    return forward


def _check_values(
    where: str,
    train_step: Any,
    own: Any,
    split: Any,
    runner: Runner,
    named: Named | None,
    rows: int,
) -> None:
    """Refuse binary labels outside [-1, 1]; the shape of the outputs matters to such alone."""
    if isinstance(split, Stream) or not hasattr(split.y, "shape"):
        return
    if not beyond_one(np.asarray(split.y)):
        return
    hparams = own[1] if isinstance(runner, OneModel) else jax.tree.map(lambda h: h[0], own[1])
    step = _with_metrics(resolve(train_step, hparams)[0], named)
    if isinstance(step, TrainStep):
        x = jax.tree.map(lambda leaf: shape_of(rows, leaf), split.x)
        outputs = jax.eval_shape(first_outputs(train_step, own, runner), x)
        check_binary(where, "split", outputs, split.y, judges_of(step.metrics))


def _with_metrics(train_step: Any, named: Named | None) -> Any:
    if named is None:
        return train_step
    if not hasattr(train_step, "with_metrics"):
        raise RunError(
            f"metrics={[name for name, _ in named]} are for a TrainStep, but this train step is a "
            f"{type(train_step).__name__}, which says itself what to evaluate; leave metrics out"
        )
    return train_step.with_metrics(dict(named))


@contextmanager
def undefined_is_no_fault() -> Iterator[None]:
    """In this context JAX_DEBUG_NANS and JAX_DEBUG_INFS are off."""
    with jax.debug_nans(False), jax.debug_infs(False):
        yield


def blocks(size: int, split: Any) -> Iterator[Batch]:
    """Blocks of `size` examples, the last padded with zeros, whose weights there are 0."""
    stream = isinstance(split, Stream)
    rows = len(split) if stream else len(jax.tree.leaves(split.x)[0])
    for start in range(0, max(rows, 1), size):
        stop = min(start + size, rows)
        if stream:
            part = split.read(np.arange(start, stop))
        else:
            part = jax.tree.map(lambda array: np.asarray(array[start:stop]), split)  # noqa: B023
        weights = np.ones(stop - start, np.float32) if part.weights is None else part.weights

        def padded(array: np.ndarray, rest: int = size - (stop - start)) -> np.ndarray:
            return np.pad(array, [(0, rest)] + [(0, 0)] * (array.ndim - 1))

        yield Batch(*jax.tree.map(padded, (part.x, part.y, weights)))
