"""The training loop: chunks of steps, with evaluation, reports, signals and saving in between."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnets.data.stream import Stream
from jaxnets.errors import CheckpointError
from jaxnets.sharding import agree, leads, spans_processes
from jaxnets.training.divergence import nonfinite_data, nonfinite_warnings
from jaxnets.training.evaluate import evaluate_members, lower
from jaxnets.training.exceptions import Interrupted, NonFiniteLoss, SavingFailed
from jaxnets.training.interrupt import first_signal
from jaxnets.training.peers import as_peer_lost, exit_if_stalled
from jaxnets.training.record import Record
from jaxnets.training.report import Progress, Reporter, silent
from jaxnets.training.resume import Saver
from jaxnets.training.run import Run, advance
from jaxnets.training.runners import OneModel
from jaxnets.training.timer import ChunkTimer
from jaxnets.training.train_step import Hparams


class Plan(NamedTuple):
    """The arguments of `fit` and `fit_population` that the training loop uses.

    Attributes:
      total: the number of steps of the whole run.
      hparams: the hyperparameters that the train step is a function of.
      data: the training data, searched for NaN when all members diverge.
      validation: a split to evaluate on at the end of every period, or None.
      saver: saves the record and the states of the callbacks, which are called after every chunk.
      report: called with a `Progress` after every chunk.
      chunk_seconds: as in `fit`.
      stall_seconds: as in `fit`.
    """

    total: int
    hparams: Hparams
    data: Any
    validation: Any
    saver: Saver
    report: Reporter
    chunk_seconds: float
    stall_seconds: float | None = None


def train(record: Record, plan: Plan, result: Callable[[], Any]) -> Any:
    """Advance the record's run to the last step of the plan, and return `result()`.

    Raises:
      NonFiniteLoss, Interrupted, SavingFailed, PeerLost: as in `fit`.
    """
    timer, saver, signal = ChunkTimer(plan.chunk_seconds), plan.saver, None
    report = plan.report if leads(record.run.loop.mesh) else silent
    watched = exit_if_stalled(plan.stall_seconds)
    peers = as_peer_lost(record.run.loop.mesh, lambda: record.run.step)
    with first_signal() as received_signal, watched as progressed, peers:
        try:
            while record.run.step < plan.total and signal is None and not record.done:
                before = record.run
                stop = min(before.step + timer.length, plan.total)
                after, progress = advance(before, stop, plan.hparams)
                # Agreed on, so that all processes choose the same next chunk.
                seconds = agree(after.seconds - before.seconds)
                record.run = replace(after, seconds=before.seconds + seconds)
                timer.record(after.step - before.step, seconds)
                report(_complete(record, plan, progress))
                progressed()
                signal = received_signal()
                saver.save(record, now=signal is not None)
            saver.save(record, now=True)
            saver.wait()
        except NonFiniteLoss as error:
            record.run = error.run
            saver.save_after(record, error)
            raise
        except CheckpointError as error:
            raise SavingFailed(result(), error) from error
        finally:
            record.run.loop.source.close()
    if signal is not None:
        raise Interrupted(result(), signal)
    return result()


def compile_run(record: Record, plan: Plan) -> dict[str, Any] | None:
    """Compile the programs of training and evaluation side by side, and allocate the memory.

    Returns the metrics over the first row of the validation split, if there is one.
    """
    if plan.validation is None:
        record.run = record.run.compile(plan.hparams)
        return None
    split, loop = _first_row(plan.validation), record.run.loop
    with ThreadPoolExecutor(1) as pool:
        # Several processes must compile in the same order, so not in a thread.
        if not spans_processes(loop.mesh):
            # An error here is raised again, with its cure, when the row is evaluated.
            with suppress(Exception):
                state = (record.run.train_state, split, plan.hparams, loop.runner)
                pool.submit(lower(loop.train_step, *state).compile)
        record.run = record.run.compile(plan.hparams)
    return _validate(record.run, plan, split)


def _validate(run: Run, plan: Plan, split: Any) -> dict[str, Any]:
    """The metrics over a split."""
    state = (run.train_state, split, plan.hparams, run.loop.runner, run.diverged)
    return evaluate_members(run.loop.train_step, *state, checked=True)


def _first_row(split: Any) -> Any:
    if isinstance(split, Stream):
        return split.read(np.arange(1))
    return jax.tree.map(lambda array: array[:1], split)


def _complete(record: Record, plan: Plan, progress: Progress) -> Progress:
    """The chunk's progress, completed with validation and warnings, and appended to the record."""
    run = record.run
    period_done = run.step % run.loop.period == 0 or run.step == plan.total
    validates = period_done and plan.validation is not None
    validation = _validate(run, plan, plan.validation) if validates else None
    objectives = run.objectives[0] if isinstance(run.loop.runner, OneModel) else run.objectives
    warnings = [w for monitor in plan.saver.callbacks for w in monitor(run.train_state, objectives)]
    progress = progress._replace(
        steps=plan.total,
        epochs=-(-plan.total // run.loop.steps_per_epoch),
        validation=validation,
        warnings=(*warnings, *_data_warnings(run, plan, validation)),
    )
    record.add(progress)
    return progress


def _data_warnings(run: Run, plan: Plan, validation: dict[str, Any] | None) -> tuple[str, ...]:
    """Warn if the data made all members diverge, or if a validation loss is not finite."""
    active = np.array(run.diverged) < 0
    if not active.any():
        cause = nonfinite_data("training", plan.data)
        return (f"all members diverged; {cause}",) if cause else ()
    loss = np.atleast_1d((validation or {}).get("loss", 0.0))
    loss = loss[active] if loss.shape == active.shape else loss
    return nonfinite_warnings(loss, plan.validation)
