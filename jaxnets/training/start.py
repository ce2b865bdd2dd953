"""Starts a run: `start_run`, and the compiled loop and initial run that `fit` uses."""

from typing import Any, Literal

import jax
import numpy as np

from jaxnets.arrays import Examples
from jaxnets.data.buckets import Bucketed
from jaxnets.data.stream import Stream
from jaxnets.keys import stream
from jaxnets.layer import Key
from jaxnets.sharding import ShardingPlan, spans_processes, to_host
from jaxnets.training.arguments import as_arrays, single_key
from jaxnets.training.bucket_source import BucketSource
from jaxnets.training.check import (
    check_loop,
    check_on_nonfinite,
    check_sharding,
    check_start,
    check_train_step,
)
from jaxnets.training.compiled_loop import CompiledLoop, OnNonFinite
from jaxnets.training.labels import check_data
from jaxnets.training.run import Run, copy
from jaxnets.training.runners import OneModel, Runner
from jaxnets.training.source import Epochs, Remainder, Resident, Source
from jaxnets.training.splits import as_splits, count_examples
from jaxnets.training.stream_source import StreamSource
from jaxnets.training.train_step import Batch, Hparams

Interval = tuple[int, Literal["steps", "epochs"]]


def start_run(
    train_step: Any,
    data: Any,
    *,
    key: Key,
    batch_size: int,
    hparams: Hparams = None,
    start: Any = None,
    remainder: Remainder = "drop",
    on_nonfinite: OnNonFinite = "stop",
    evaluate_every: Interval = (1, "epochs"),
    devices: int = 1,
    sharding: ShardingPlan | None = None,
) -> Run:
    """A compiled run at its first step, to train with `advance`.

    The arguments are those of `fit`; `evaluate_every` is how often the training metrics are reset.

        run = start_run(train_step, mnist.train, key=jax.random.key(0), batch_size=128)
        while run.step < 1000:
            run, progress = advance(run, run.step + 100)
    """
    key, hparams = single_key("start_run", key), as_arrays("start_run", "hparams", hparams)
    data, _ = as_splits("start_run", data, None)
    check_loop("start_run", data, batch_size, remainder, evaluate_every)
    check_on_nonfinite("start_run", on_nonfinite)
    loop = one_model_loop(
        *("start_run", train_step, data, key, hparams, start),
        batch_size=batch_size,
        remainder=remainder,
        on_nonfinite=on_nonfinite,
        evaluate_every=evaluate_every,
        devices=devices,
        sharding=sharding,
    )
    return initial_run(loop, key, hparams, start).compile(hparams)


def one_model_loop(
    where: str,
    train_step: Any,
    data: Any,
    key: Key,
    hparams: Hparams,
    start: Any,
    *,
    validation: Any = None,
    **options: Any,
) -> CompiledLoop:
    """The compiled loop of one model for arguments of `fit`; checks them.

    Raises:
      RunError: `train_step` is not a train step, or the data or the start do not fit.
    """
    check_train_step(where, train_step)
    loop = make_loop(train_step, data, stream(key, "train"), **options)
    shapes = loop.init_shapes(key, hparams)
    check_start(where, start, shapes)
    check_data(where, train_step, hparams, shapes, data, validation, options["batch_size"])
    return loop


def make_loop(
    train_step: Any,
    data: Any,
    order_key: Key,
    *,
    batch_size: int,
    remainder: Remainder,
    on_nonfinite: OnNonFinite,
    evaluate_every: Interval,
    devices: int,
    sharding: ShardingPlan | None = None,
    runner: Runner = OneModel(),
) -> CompiledLoop:
    """The loop for arguments of `fit`, before it is compiled."""
    mesh, plan = check_sharding(devices, sharding, batch_size, runner)
    if isinstance(data, Examples) and spans_processes(mesh) and not order_key.ndim:
        data = _as_stream(data)  # of which each process reads its own rows
    epochs = Epochs(count_examples(data), batch_size, remainder)
    source: Source
    if isinstance(data, Stream):
        source = StreamSource(data, epochs, order_key, mesh)
    elif isinstance(data, Bucketed):
        source = BucketSource(data, epochs, order_key, mesh)
    else:
        source = Resident(Batch(*data), epochs, mesh)
    count, unit = evaluate_every
    period = count * epochs.steps if unit == "epochs" else count
    return CompiledLoop(train_step, source, order_key, period, on_nonfinite, runner, mesh, plan)


def initial_run(loop: CompiledLoop, keys: Key, hparams: Hparams, start: Any) -> Run:
    """The run that starts from `start`, or from the initial train state if that is None."""
    train_state = loop.init(keys, hparams) if start is None else loop.place(copy(start))
    # The maximum, since a member that diverged has stopped at an earlier step.
    step = int(np.max(to_host(getattr(train_state, "step", 0))))
    return Run.start(loop, train_state, hparams, step)


def _as_stream(data: Examples) -> Stream:
    """Examples in memory as a stream, with the same batches."""
    arrays = jax.tree.map(np.asarray, data)
    return Stream(tuple(part for part in arrays if part is not None))
