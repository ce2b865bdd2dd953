"""How a run of a population begins."""

from typing import Any

import jax

from jaxnets.keys import stream
from jaxnets.layer import Key
from jaxnets.training.compiled_loop import CompiledLoop, OnNonFinite
from jaxnets.training.population.members import count_members
from jaxnets.training.population.strategy import by_strategy, check_memory, fastest
from jaxnets.training.run import Run
from jaxnets.training.runners import Members, Strategy
from jaxnets.training.source import Remainder
from jaxnets.training.start import Every, as_arrays, first_run, make_loop
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
    hparams = as_arrays(hparams)
    loop = population_loop(
        *(train_step, data, keys, hparams, strategy or "vmap"),
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
    train_step: Any,
    data: Any,
    keys: Key,
    hparams: Hparams,
    strategy: Strategy,
    *,
    share_batches: bool,
    **options: Any,
) -> CompiledLoop:
    """The loop of these arguments of `fit_population`, for which there is memory.

    Raises:
      RunError: leading axes that differ, or a population too large for the memory.
    """
    runner = Members(count_members(keys, hparams), strategy)
    order_key = jax.vmap(lambda key: stream(key, "train"))(keys)
    order_key = order_key[0] if share_batches else order_key
    loop = make_loop(train_step, data, order_key, runner=runner, **options)
    shapes = loop.init_shapes(keys, hparams)
    check_memory(Run.at(loop, shapes, hparams, 0), hparams, strategy)
    return loop
