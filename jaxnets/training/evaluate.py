"""Evaluation in padded blocks of a fixed size: compiled once for any number of rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxnets.arrays import as_examples, on_device, shape_of
from jaxnets.data.stream import Stream
from jaxnets.errors import RunError
from jaxnets.keys import clone_keys
from jaxnets.layer import Array
from jaxnets.metrics import Metric
from jaxnets.sharding import BATCH, ShardingPlan, mesh_in, place_rows, to_host, use_mesh
from jaxnets.training.arguments import check_metrics, count, data_as_pair
from jaxnets.training.check import check_train_state, check_train_step
from jaxnets.training.labels import (
    any_beyond_one,
    check_binary,
    criteria_of,
    explain_input_errors,
    output_shapes,
)
from jaxnets.training.placement import place_state
from jaxnets.training.programs import program
from jaxnets.training.runners import OneModel, Runner
from jaxnets.training.train_step import Batch, Hparams, Sums, TrainStep, resolve

BLOCK = 500  # rows
NamedMetrics = tuple[tuple[str, Metric], ...]


@data_as_pair
def evaluate(
    train_step: Any,
    train_state: Any,
    split: Any,
    *,
    hparams: Hparams = None,
    metrics: Mapping[str, Metric] | None = None,
    block_size: int = BLOCK,
    sharding: ShardingPlan | None = None,
) -> dict[str, Any]:
    """Each metric over the whole split; exact, as padding in the last block is masked.

    Args:
      train_step: as in `fit`; its model runs with `train=False`.
      train_state: the train state of a result, as in `FitResult.train_state`.
      split: inputs (n, ...), labels (n, ...) and optionally weights (n,) of the examples, n at
        least 1; or a `data.Stream`.
      hparams: the hyperparameters, if the train step is a function of them.
      metrics: the metrics to compute, by name; by default those of the train step.
      block_size: rows per block; it limits the memory and does not change the result.
      sharding: as in `fit`; by default, the devices that hold the train state.

    Returns:
      The values by name: floats, or NumPy arrays for metrics that are not scalars.

    Raises:
      RunError: the split, its labels or a size do not fit, which is checked before compiling.
      TypeError: `metrics` is not a dict of metrics.
    """
    options = {"metrics": metrics, "block_size": block_size}
    train_state = place_state("evaluate", sharding, train_state)
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
    checked: bool = False,
) -> dict[str, Any]:
    """`evaluate` for a runner; for a population, arrays with a leading axis of members.

    `checked`: the labels were checked before, as `fit` does for its validation split.
    """
    check_train_step(where, train_step)
    check_train_state(where, train_state)
    block_size = count(where, "block_size", block_size)
    named = None if metrics is None else tuple(check_metrics(where, metrics).items())
    if not isinstance(split, Stream):
        split = as_examples(where, "split", split, RunError)
    state = clone_keys((train_state, hparams))
    block_sums = program(train_step, _make_block_sums, runner, named)
    x = None if isinstance(split, Stream) else split.x
    mesh = mesh_in(train_state)
    explained = explain_input_errors(where, first_outputs(train_step, state, runner), x)
    with use_mesh(mesh), explained:
        if not checked:
            _check_values(where, train_step, state, split, runner, named, block_size)
        sums = (block_sums(state, block) for block in blocks(block_size, split, mesh))
        total = reduce(_add, sums)
    return values(train_step, total, hparams, runner, diverged, named=named)


def lower(
    train_step: Any, train_state: Any, split: Any, hparams: Hparams, runner: Runner
) -> jax.stages.Lowered:
    """The lowered program of `evaluate_members`; once compiled, JAX reuses it in its calls."""
    state, mesh = clone_keys((train_state, hparams)), mesh_in(train_state)
    with use_mesh(mesh):
        block_sums = program(train_step, _make_block_sums, runner, None)
        return block_sums.lower(state, next(blocks(BLOCK, split, mesh)))


@jax.jit
def _add(a: Sums, b: Sums) -> Sums:
    return jax.tree.map(jnp.add, a, b)


def values(
    train_step: Any,
    sums: Sums,
    hparams: Hparams,
    runner: Runner,
    diverged: Sequence[int] = (),
    *,
    named: NamedMetrics | None = None,
) -> dict[str, Any]:
    """Each metric from its sums: floats, or NumPy arrays for metrics that are not scalars.

    For a population they have a leading axis of members, with NaN for members that diverged.
    """

    def member(per_member: tuple[Sums, Hparams], shared: None) -> dict[str, Array]:
        del shared
        member_sums, member_hparams = per_member
        step = _with_metrics(resolve(train_step, member_hparams)[0], named)
        return step.values(member_sums) if hasattr(step, "values") else {}

    if mesh_in(sums) is not None:
        sums = jax.tree.map(on_device, to_host(sums))
    # An undefined metric is NaN, which is not an error, even with JAX_DEBUG_NANS.
    with allow_nonfinite():
        if isinstance(runner, OneModel):
            arrays = {name: np.asarray(v) for name, v in member((sums, hparams), None).items()}
            return {name: a.item() if a.ndim == 0 else a for name, a in arrays.items()}
        arrays = jax.vmap(member, in_axes=(0, None))((sums, hparams), None)
    mask = np.array(diverged or [-1] * runner.members) >= 0
    return {
        name: np.where(mask.reshape(-1, *[1] * (value.ndim - 1)), np.nan, value)
        if mask.any()
        else np.asarray(value)
        for name, value in arrays.items()
    }


def _make_block_sums(
    step: Callable[[], Any], runner: Runner, named: NamedMetrics | None
) -> Callable[..., Sums]:
    def member(state: Any, batch: Batch) -> Sums:
        train_state, hparams = state
        train_step = _with_metrics(resolve(step(), hparams)[0], named)
        if not hasattr(train_step, "evaluate_batch"):
            raise RunError(
                f"to be evaluated, a {type(train_step).__name__} needs evaluate_batch(train_state, "
                "batch) -> sums and values(sums); see Trainable"
            )
        return train_step.evaluate_batch(train_state, batch)

    def block_sums(state: Any, batch: Batch) -> Sums:
        return runner.over_members(member, len(batch.weights))(state, batch)

    return block_sums


def first_outputs(train_step: Any, state: Any, runner: Runner) -> Callable[[Any], Any]:
    """A function from inputs to the first member's outputs, for shape inference."""

    def forward(x: Any) -> Any:
        train_state, hparams = state
        if not isinstance(runner, OneModel):
            train_state, hparams = jax.tree.map(lambda leaf: leaf[0], state)
        step, _ = resolve(train_step, hparams)
        return step.predict_batch(train_state, x) if hasattr(step, "predict_batch") else None

    return forward


def _check_values(
    where: str,
    train_step: Any,
    state: Any,
    split: Any,
    runner: Runner,
    named: NamedMetrics | None,
    rows: int,
) -> None:
    """Refuse binary labels outside [-1, 1]; infer the outputs' shape only if there are any."""
    if isinstance(split, Stream) or not hasattr(split.y, "shape"):
        return
    if not any_beyond_one(np.asarray(split.y)):
        return
    train_state, hparams = state
    if not isinstance(runner, OneModel):
        hparams = jax.tree.map(lambda leaf: leaf[0], hparams)
        train_state = jax.eval_shape(lambda: jax.tree.map(lambda leaf: leaf[0], train_state))
    step = _with_metrics(resolve(train_step, hparams)[0], named)
    if isinstance(step, TrainStep):
        x = jax.tree.map(lambda leaf: shape_of(rows, leaf), split.x)
        outputs = output_shapes(train_step, train_state, x, hparams)
        check_binary(where, "split", outputs, split.y, criteria_of(step.metrics))


def _with_metrics(train_step: Any, named: NamedMetrics | None) -> Any:
    if named is None:
        return train_step
    if not hasattr(train_step, "with_metrics"):
        raise RunError(
            f"metrics={[name for name, _ in named]} are for a TrainStep, but this train step is a "
            f"{type(train_step).__name__}, which defines its own metrics; leave metrics out"
        )
    return train_step.with_metrics(dict(named))


@contextmanager
def allow_nonfinite() -> Iterator[None]:
    """Turn off JAX_DEBUG_NANS and JAX_DEBUG_INFS in this context."""
    with jax.debug_nans(False), jax.debug_infs(False):
        yield


def blocks(size: int, split: Any, mesh: Mesh | None = None) -> Iterator[Batch]:
    """Blocks of `size` examples; the last is padded with zeros of weight 0.

    On a mesh, they are sharded over "batch", and have a few more examples if that is needed.
    """
    shards = 1 if mesh is None else mesh.shape.get(BATCH, 1)
    size = -(-size // shards) * shards
    stream = isinstance(split, Stream)
    rows = len(split) if stream else len(jax.tree.leaves(split.x)[0])
    for start in range(0, max(rows, 1), size):
        stop = min(start + size, rows)
        if stream:
            part = split.read(np.arange(start, stop))
        else:
            part = jax.tree.map(lambda array: np.asarray(array[start:stop]), split)  # noqa: B023
        weights = np.ones(stop - start, np.float32) if part.weights is None else part.weights

        def pad(array: np.ndarray, missing: int = size - (stop - start)) -> np.ndarray:
            return np.pad(array, [(0, missing)] + [(0, 0)] * (array.ndim - 1))

        yield place_rows(mesh, Batch(*jax.tree.map(pad, (part.x, part.y, weights))))
