"""A chunk of updates for every member of a population, as one compiled program."""

from functools import partial
from typing import Any

import jax

from jaxnets.layer import Array, Key
from jaxnets.training.chunk import Remainder, chunk
from jaxnets.training.course import Strategy
from jaxnets.training.population.members import over_members
from jaxnets.training.update import Hyper, Sums, TrainState, Update


@partial(
    jax.jit,
    static_argnames=("update", "batch_size", "remainder", "capacity", "strategy"),
    donate_argnames="train_states",
)
def run_population_chunk(
    update: Update,
    train_states: TrainState,
    sums: Sums,
    data: tuple[Array, Array],
    hypers: Hyper,
    order_key: Key | None,
    start: Array,
    stop: Array,
    *,
    batch_size: int,
    remainder: Remainder,
    capacity: int,
    strategy: Strategy,
) -> tuple[TrainState, Sums, Array]:
    """`run_chunk` for every member; all are at step `start`.

    Args and results are those of `run_chunk` with a leading axis N on `train_states`, `hypers`,
    `sums` and the objectives (N, capacity). `order_key` draws one order for all members; where it
    is None, each draws its own from its own key.
    """
    run = partial(chunk, update, batch_size=batch_size, remainder=remainder, capacity=capacity)

    def member(own: Any, shared: Any) -> tuple[TrainState, Sums, Array]:
        (train_state, sums, hyper), (data, order_key, start, stop) = own, shared
        order_key = train_state.key if order_key is None else order_key
        return run(train_state, data, hyper, order_key, start, stop, sums=sums)

    each = over_members(member, strategy, batch_size)
    return each((train_states, sums, hypers), (data, order_key, start, stop))
