"""The length of a run and the evaluation interval in steps or epochs."""

import jax
import numpy as np
import pytest
from clouds import HPARAMS, TRAIN_STEP, VALIDATION, by_rate, plain, run
from helpers import assert_same

from jaxnets import metrics, models
from jaxnets.training import Checkpoints, RunError, evaluate, fit

COUNT = metrics.Metric(lambda outputs, y, weights: weights.sum(), lambda sums: sums)
COUNTED = by_rate(models.linear(3), metrics={"count": COUNT})


@pytest.mark.parametrize("steps", [1, 5, 8, 10])
def test_a_run_of_steps_is_the_beginning_of_a_run_of_epochs(steps):
    short = run(steps=steps)
    assert short.train_state.step == steps == short.history[-1].steps
    assert short.history[-1].epochs == -(-steps // 5)
    uninterrupted = run(epochs=2, start=short.train_state) if steps < 10 else short
    assert_same(plain(uninterrupted.train_state), plain(run(epochs=2).train_state))


@pytest.mark.parametrize("steps", [3, 5, 8, 10])
def test_passes_are_steps_divided_by_steps_per_epoch(steps, tmp_path):
    fitted = run(steps=steps, checkpoints=Checkpoints(tmp_path))
    assert [p.passes for p in fitted.history] == [p.step / 5 for p in fitted.history]
    resumed = run(steps=steps, checkpoints=Checkpoints(tmp_path), resume=True)
    assert resumed.history[-1].passes == steps / 5


def test_evaluation_in_steps_includes_the_last_step():
    fitted = run(COUNTED, steps=12, evaluate_every=(5, "steps"), validation=VALIDATION)
    assert [p.step for p in fitted.history] == [5, 10, 12]
    assert [p.train["count"] for p in fitted.history] == [60, 60, 24]
    assert [p.validation["count"] for p in fitted.history] == [30] * 3
    assert fitted.history[-1].validation == evaluate(
        COUNTED, fitted.train_state, VALIDATION, hparams=HPARAMS
    )


@pytest.mark.parametrize("chunk_seconds", [1.0, 1e-9])
def test_evaluation_within_epochs_changes_no_bit_of_training(chunk_seconds):
    reports = []
    options = {"validation": VALIDATION, "report": reports.append, "chunk_seconds": chunk_seconds}
    fitted = run(epochs=3, evaluate_every=(4, "steps"), **options)
    assert_same(plain(fitted.train_state), plain(run(epochs=3).train_state))
    evaluated = [p.step for p in reports if p.validation is not None]
    assert evaluated == [4, 8, 12, 15] == [p.step for p in fitted.history]
    assert [p.epoch_done for p in fitted.history] == [False, False, False, True]
    assert [p.epoch for p in fitted.history] == [1, 2, 3, 3]


def test_evaluation_in_epochs_includes_the_last_epoch():
    fitted = run(COUNTED, epochs=5, evaluate_every=(2, "epochs"), validation=VALIDATION)
    assert [(p.step, p.epoch) for p in fitted.history] == [(10, 2), (20, 4), (25, 5)]
    assert [p.train["count"] for p in fitted.history] == [120, 120, 60]


def test_patience_counts_evaluations():
    """The validation labels are wrong, so that the loss rises from the first evaluation on."""
    x, y = VALIDATION
    options = {"validation": (x, (y + 1) % 3), "patience": 3, "epochs": 20}
    fitted = run(by_rate(models.linear(3)), evaluate_every=(2, "steps"), **options)
    losses = [p.validation["loss"] for p in fitted.history]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 3
    assert fitted.best_epoch == fitted.history[best].epoch
    assert fitted.train_state.step == fitted.history[best].step


@pytest.mark.parametrize("at", [3, 4, 7, 9])
def test_it_is_resumed_between_evaluations_bit_for_bit(tmp_path, at):
    options = {"evaluate_every": (4, "steps"), "validation": VALIDATION}
    uninterrupted = run(steps=14, **options)
    run(steps=at, checkpoints=Checkpoints(tmp_path), **options)
    resumed = run(steps=14, checkpoints=Checkpoints(tmp_path), resume=True, **options)
    assert_same(plain(resumed.train_state), plain(uninterrupted.train_state))
    last = uninterrupted.history[-1]
    assert (
        resumed.history[-1].train == last.train
        and resumed.history[-1].validation == last.validation
    )
    assert [p.step for p in resumed.history][-1] == 14


def test_steps_and_epochs_are_refused_together():
    sizes = {"key": jax.random.key(0), "hparams": HPARAMS, "batch_size": 12}
    with pytest.raises(RunError, match="epochs or steps, but got epochs=2 and steps=3; pass one"):
        fit(TRAIN_STEP, VALIDATION, epochs=2, steps=3, **sizes)
