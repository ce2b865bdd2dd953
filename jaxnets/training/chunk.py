"""Many updates as one compiled program: the data, its order and the loop are all on the device."""

from functools import cache, partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.devices import divided
from jaxnets.keys import stream
from jaxnets.layer import Array, Key, Params
from jaxnets.lowering import compiler_options
from jaxnets.training.nonfinite import all_finite
from jaxnets.training.order import permutation
from jaxnets.training.update import Batch, Hyper, Sums, TrainState, Update

Remainder = Literal["drop", "pad"]


def steps_per_epoch(examples: int, batch_size: int, remainder: Remainder) -> int:
    """How many batches an epoch has; "pad" counts the last, smaller one."""
    return examples // batch_size if remainder == "drop" else -(-examples // batch_size)


def run_chunk(
    update: Update,
    train_state: TrainState,
    data: tuple[Array, Array],
    hyper: Hyper,
    stop: Array,
    *,
    batch_size: int,
    remainder: Remainder,
    capacity: int,
    skip_nonfinite: bool = False,
    sums: Sums | None = None,
) -> tuple[TrainState, Sums, Array]:
    """Update until step `stop`, and return the sums with the chunk's and each step's objective.

    Both bounds of the loop are traced, so one executable serves every length up to `capacity`.
    Epoch e draws its order from `stream(key, "order", e)` and batch i of it is a function of the
    step alone: where one chunk ends and the next begins changes nothing.

    Args:
      update: what one step does.
      train_state: where to start from.
      data: the whole split `(x, y)`, on the device.
      hyper: traced hyperparameters.
      stop: the step to stop before; at most `capacity` past `train_state.step`.
      batch_size: examples a step.
      remainder: "drop" leaves out the last, smaller batch of an epoch; "pad" fills it with the
        first examples of the same order, at weight 0.
      capacity: the length of the array of objectives.
      skip_nonfinite: leave out an update whose objective or result is not all finite. It counts
        as a step, adds nothing to the sums, and its objective is NaN.
      sums: what to add to, by default zeros; adding up step by step, however long the chunks are,
        rounds the same.

    Returns:
      `(train_state, sums, objectives)`; `objectives` (capacity,) holds 0 past the last step.
    """
    return chunk(
        update,
        train_state,
        data,
        hyper,
        train_state.key,
        train_state.step,
        stop,
        batch_size=batch_size,
        remainder=remainder,
        capacity=capacity,
        skip_nonfinite=skip_nonfinite,
        sums=sums,
    )


def chunk_program(params: Params) -> Any:
    """`run_chunk`, jitted for a train state with these params, which is donated."""
    return _chunk_program(tuple(compiler_options(params).items()))


@cache
def _chunk_program(options: tuple[tuple[str, str | bool], ...]) -> Any:
    static = ("update", "batch_size", "remainder", "capacity", "skip_nonfinite")
    return jax.jit(
        run_chunk,
        static_argnames=static,
        donate_argnames="train_state",
        compiler_options=dict(options),
    )


def chunk(
    update: Update,
    train_state: TrainState,
    data: tuple[Array, Array],
    hyper: Hyper,
    order_key: Key,
    start: Array,
    stop: Array,
    *,
    batch_size: int,
    remainder: Remainder,
    capacity: int,
    skip_nonfinite: bool = False,
    sums: Sums | None = None,
) -> tuple[TrainState, Sums, Array]:
    """What `run_chunk` does, in a form that serves a whole population too.

    `start` is `train_state.step`, apart so that members may share one loop, and `order_key` draws
    the order, so that they may share their batches.
    """
    examples = data[0].shape[0]
    steps = steps_per_epoch(examples, batch_size, remainder)

    def step(epoch: Array, order: Array, index: Array, carry: tuple) -> tuple:
        train_state, sums, objectives = carry
        batch = _batch(data, order, index, batch_size)
        before = train_state
        train_state, new = _updated(update, before, batch, hyper)
        if skip_nonfinite:
            train_state, new = _unless_nonfinite(before, train_state, new)
        objectives = objectives.at[epoch * steps + index - start].set(new.pop("objective"))
        return train_state, jax.tree.map(jnp.add, sums, new), objectives

    def epoch(number: Array, carry: tuple) -> tuple:
        order = _order(order_key, number, examples, steps * batch_size)
        first = jnp.maximum(start - number * steps, 0)
        last = jnp.minimum(stop - number * steps, steps)
        return jax.lax.fori_loop(first, last, partial(step, number, order), carry)

    sums = no_sums(update, train_state, data, hyper, batch_size) if sums is None else sums
    carry = (train_state, sums, jnp.zeros(capacity))
    return jax.lax.fori_loop(start // steps, -(-stop // steps), epoch, carry)


def no_sums(
    update: Update, train_state: TrainState, data: Any, hyper: Hyper, batch_size: int
) -> Sums:
    """The sums over no step at all."""
    batch = jax.eval_shape(lambda: _batch(data, jnp.zeros(batch_size, int), 0, batch_size))
    _, sums = jax.eval_shape(partial(_updated, update), train_state, batch, hyper)
    del sums["objective"]
    return jax.tree.map(lambda s: np.zeros(s.shape, s.dtype), sums)


# What is traced for its shapes alone need not be traced again for the chunk.
@partial(jax.jit, static_argnums=0, inline=True)
def _updated(
    update: Update, train_state: TrainState, batch: Batch, hyper: Hyper
) -> tuple[TrainState, Sums]:
    return update(train_state, batch, hyper)


def batch_of(train_state: TrainState, data: Any, *, batch_size: int, remainder: Remainder) -> Batch:
    """The batch that the next update sees."""
    examples = len(data[0])
    epoch, index = divmod(int(train_state.step), steps_per_epoch(examples, batch_size, remainder))
    order = _order(train_state.key, jnp.int32(epoch), examples, batch_size * (index + 1))
    return _batch(data, order, index, batch_size)


def _order(key: Key, epoch: Array, examples: int, length: int) -> Array:
    """The epoch's permutation, cut or wrapped round to `length`; -1 - i marks a wrapped index."""
    order = permutation(stream(key, "order", epoch), examples)
    return jnp.concatenate([order, -1 - order])[:length]


def _batch(data: Any, order: Array, index: Array | int, batch_size: int) -> Batch:
    rows = jax.lax.dynamic_slice(order, (index * batch_size,), (batch_size,))
    weights = (rows >= 0).astype(jnp.float32)
    rows = jnp.where(rows < 0, -1 - rows, rows)
    x, y = (array.at[rows].get(mode="promise_in_bounds") for array in data)
    return divided(Batch(x, y, weights))


def _unless_nonfinite(before: TrainState, after: TrainState, sums: Sums) -> tuple[TrainState, Sums]:
    """The step that was made or, where it is not all finite, one that changes nothing."""
    good = jnp.isfinite(sums["objective"]) & all_finite(after[1:4])
    kept = jax.tree.map(lambda new, old: jnp.where(good, new, old), after[1:4], before[1:4])
    sums = jax.tree.map(lambda value: jnp.where(good, value, 0), sums)
    sums["objective"] = jnp.where(good, sums["objective"], jnp.nan)
    params, state, opt_state = kept
    return TrainState(after.step, params, state, opt_state, after.key), sums
