"""How a run of a population begins."""

from typing import Any

import jax

from jaxnets.keys import stream
from jaxnets.layer import Key
from jaxnets.training.arguments import member_keys, numbers
from jaxnets.training.check import (
    check_loop,
    check_on_nonfinite,
    check_start,
    check_strategy,
    check_train_step,
    splits,
)
from jaxnets.training.compiled_loop import CompiledLoop, OnNonFinite
from jaxnets.training.labels import check_data
from jaxnets.training.population.members import count_members
from jaxnets.training.population.strategy import by_strategy, check_memory, fastest
from jaxnets.training.run import Run
from jaxnets.training.runners import Members, Strategy
from jaxnets.training.source import Remainder
from jaxnets.training.start import Every, first_run, make_loop
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
    evaluate_every: Every = (1, "epochs"),
    devices: int = 1,
) -> Run:
    """A population's run at its first step, compiled, for `advance` to take on.

    Its arguments are those of `fit_population`; `evaluate_every` is how often the figures begin
    anew. `hparams` are passed to `advance` with their leading axis N.
    """
    where = "start_population"
    check_train_step(where, train_step)
    check_strategy(where, strategy)
    keys, hparams = member_keys(where, keys), numbers(where, "hparams", hparams)
    data, _ = splits(where, data, None)
    check_loop(where, data, batch_size, remainder, evaluate_every)
    check_on_nonfinite(where, on_nonfinite)
    loop = population_loop(
        *(where, train_step, data, keys, hparams, strategy or "vmap"),
        start=start,
        share_batches=share_batches,
        batch_size=batch_size,
        remainder=remainder,
        on_nonfinite=on_nonfinite,
        evaluate_every=evaluate_every,
        devices=devices,
    )
    run = first_run(loop, keys, hparams, start)
    return run.by(by_strategy(loop, strategy or fastest(run, hparams))).compiled(hparams)


def population_loop(
    where: str,
    train_step: Any,
    data: Any,
    keys: Key,
    hparams: Hparams,
    strategy: Strategy,
    *,
    start: Any,
    validation: Any = None,
    share_batches: bool,
    **options: Any,
) -> CompiledLoop:
    """The loop of these arguments of `fit_population`, for which there is memory.

    Raises:
      RunError: leading axes that differ, data that do not fit, or a population too large for the
        memory.
    """
    n = count_members(keys, hparams)
    order_key = jax.vmap(lambda key: stream(key, "train"))(keys)
    order_key = order_key[0] if share_batches else order_key
    loop = make_loop(train_step, data, order_key, runner=Members(n, strategy), **options)
    shapes = loop.init_shapes(keys, hparams)
    check_start(where, start, shapes)

    def first(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype)

    one = jax.tree.map(lambda leaf: leaf[0], hparams), jax.tree.map(first, shapes)
    check_data(where, train_step, *one, data, validation, options["batch_size"])
    check_memory(Run.at(loop, shapes, hparams, 0), hparams, strategy)
    return loop
