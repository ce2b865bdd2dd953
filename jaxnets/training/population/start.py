"""Starts a run of a population: `start_population`, and the loop that `fit_population` uses."""

from typing import Any

import jax

from jaxnets.keys import stream
from jaxnets.layer import Key
from jaxnets.sharding import ShardingPlan
from jaxnets.training.arguments import as_arrays, member_keys
from jaxnets.training.check import (
    check_loop,
    check_on_nonfinite,
    check_start,
    check_strategy,
    check_train_step,
)
from jaxnets.training.compiled_loop import CompiledLoop, OnNonFinite
from jaxnets.training.labels import check_data
from jaxnets.training.population.members import count_members
from jaxnets.training.population.strategy import check_memory, fastest, with_strategy
from jaxnets.training.run import Run
from jaxnets.training.runners import Members, Strategy
from jaxnets.training.source import Remainder
from jaxnets.training.splits import as_splits
from jaxnets.training.start import Interval, initial_run, make_loop
from jaxnets.training.train_step import Hparams


def start_population(
    train_step: Any,
    data: Any,
    *,
    keys: Key,
    batch_size: int,
    hparams: Hparams = None,
    start: Any = None,
    share_batches: bool = False,
    strategy: Strategy | None = None,
    remainder: Remainder = "drop",
    on_nonfinite: OnNonFinite = "stop",
    evaluate_every: Interval = (1, "epochs"),
    devices: int = 1,
    sharding: ShardingPlan | None = None,
) -> Run:
    """A compiled run of a population at its first step, to train with `advance`.

    The arguments are those of `fit_population`; `evaluate_every` is how often the training metrics
    are reset. Pass `hparams` to `advance` with their leading axis N.
    """
    where = "start_population"
    keys, hparams = member_keys(where, keys), as_arrays(where, "hparams", hparams)
    data, _ = as_splits(where, data, None)
    check_loop(where, data, batch_size, remainder, evaluate_every)
    check_on_nonfinite(where, on_nonfinite)
    loop = population_loop(
        *(where, train_step, data, keys, hparams, start, strategy, share_batches),
        batch_size=batch_size,
        remainder=remainder,
        on_nonfinite=on_nonfinite,
        evaluate_every=evaluate_every,
        devices=devices,
        sharding=sharding,
    )
    run = initial_run(loop, keys, hparams, start)
    loop = with_strategy(loop, strategy or fastest(run, hparams))
    return run.with_loop(loop).compile(hparams)


def population_loop(
    where: str,
    train_step: Any,
    data: Any,
    keys: Key,
    hparams: Hparams,
    start: Any,
    strategy: Strategy | None,
    share_batches: bool,
    *,
    validation: Any = None,
    **options: Any,
) -> CompiledLoop:
    """The compiled loop for arguments of `fit_population`; checks them and the memory.

    Raises:
      RunError: `train_step` is not a train step, the strategy is unknown, leading axes differ, the
        data do not fit, or the population does not fit into the memory.
    """
    check_train_step(where, train_step)
    check_strategy(where, strategy)
    strategy = strategy or "vmap"
    n = count_members(keys, hparams)
    order_key = jax.vmap(lambda key: stream(key, "train"))(keys)
    order_key = order_key[0] if share_batches else order_key
    loop = make_loop(train_step, data, order_key, runner=Members(n, strategy), **options)
    shapes = loop.init_shapes(keys, hparams)
    check_start(where, start, shapes)

    def member_shape(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)

    member = jax.tree.map(lambda leaf: leaf[0], hparams), jax.tree.map(member_shape, shapes)
    check_data(where, train_step, *member, data, validation, options["batch_size"])
    check_memory(Run.start(loop, shapes, hparams, 0), hparams, strategy)
    return loop
