"""The training loop: chunks, and between them evaluation, reports, signals and saving."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnets.data.stream import Stream
from jaxnets.errors import CheckpointError
from jaxnets.sharding import use_mesh
from jaxnets.training.evaluate import evaluate_members
from jaxnets.training.exceptions import Interrupted, NonFiniteLoss, SavingFailed
from jaxnets.training.interrupt import first_signal
from jaxnets.training.monitors import Monitor
from jaxnets.training.nonfinite import nonfinite_data, not_finite
from jaxnets.training.record import Record
from jaxnets.training.report import Progress, Reporter
from jaxnets.training.resume import Saver
from jaxnets.training.run import Run, advance
from jaxnets.training.runners import OneModel
from jaxnets.training.timer import ChunkTimer
from jaxnets.training.train_step import Hparams


class Plan(NamedTuple):
    """What `fit` and `fit_population` ask of the loop.

    Attributes:
      total: the steps of the whole run.
      hparams: what the train step is a function of.
      data: what is trained on; looked at when it may be to blame.
      validation: a split to evaluate on at the end of every period, or None.
      saver: saves the record.
      report: called with a `Progress` after every chunk.
      callbacks: as `fit` takes them.
      chunk_seconds: as `fit` takes it.
    """

    total: int
    hparams: Hparams
    data: Any
    validation: Any
    saver: Saver
    report: Reporter
    callbacks: Sequence[Monitor]
    chunk_seconds: float


def train(record: Record, plan: Plan, result: Callable[[], Any]) -> Any:
    """Advance the record's run to the last step of the plan, and return `result()`.

    Raises:
      NonFiniteLoss, Interrupted, SavingFailed: as `fit` says.
    """
    timer, saver, signal = ChunkTimer(plan.chunk_seconds), plan.saver, None
    with first_signal() as signalled:
        try:
            while record.run.step < plan.total and signal is None and not record.is_over:
                before = record.run
                stop = min(before.step + timer.length, plan.total)
                record.run, progress = advance(before, stop, plan.hparams)
                seconds = record.run.seconds - before.seconds
                timer.record(record.run.step - before.step, seconds)
                plan.report(_reported(record, plan, progress))
                signal = signalled()
                saver.save(record, now=signal is not None)
            saver.save(record, now=True)
            saver.wait()
        except NonFiniteLoss as error:
            record.run = error.run
            saver.save_instead(record, error)
            raise
        except CheckpointError as error:
            raise SavingFailed(result(), error) from error
        finally:
            record.run.loop.source.close()
    if signal is not None:
        raise Interrupted(result(), signal)
    return result()


def validate(run: Run, plan: Plan, rows: int | None = None) -> dict[str, Any] | None:
    """The metrics over the validation split, or over its first rows."""
    if plan.validation is None:
        return None
    split, loop = plan.validation, run.loop
    if rows is not None and isinstance(split, Stream):
        split = split.read(np.arange(rows))
    elif rows is not None:
        split = jax.tree.map(lambda array: array[:rows], split)
    with use_mesh(loop.mesh):
        return evaluate_members(
            loop.train_step, run.train_state, split, plan.hparams, loop.runner, run.diverged
        )


def _reported(record: Record, plan: Plan, progress: Progress) -> Progress:
    """The progress as the run's, evaluated at the end of a period, and added to the record."""
    run = record.run
    done = run.step % run.loop.period == 0 or run.step == plan.total
    validation = validate(run, plan) if done else None
    objectives = run.objectives[0] if isinstance(run.loop.runner, OneModel) else run.objectives
    warnings = [w for call in plan.callbacks for w in call(run.train_state, objectives)]
    progress = progress._replace(
        steps=plan.total,
        epochs=-(-plan.total // run.loop.steps_per_epoch),
        validation=validation,
        warnings=(*warnings, *_data_warnings(run, plan, validation)),
    )
    record.add(progress)
    return progress


def _data_warnings(run: Run, plan: Plan, validation: dict[str, Any] | None) -> tuple[str, ...]:
    """Why all members diverged, if the data are to blame, and a validation loss not finite."""
    alive = np.array(run.diverged) < 0
    if not alive.any():
        cause = nonfinite_data("training", plan.data)
        return (f"all members diverged; {cause}",) if cause else ()
    loss = np.atleast_1d((validation or {}).get("loss", 0.0))
    return not_finite(loss[alive] if loss.shape == alive.shape else loss, plan.validation)
