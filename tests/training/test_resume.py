"""An interrupted run resumes bit for bit, or the error says why it cannot."""

import os
import signal
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from clouds import HPARAMS, MODEL, TRAIN, TRAIN_STEP, VALIDATION, by_rate, plain, run
from compilations import compiled
from helpers import assert_same
from refusals import chunks_compiled

from jaxnets import dense, metrics
from jaxnets.training import (
    CheckpointError,
    Checkpoints,
    Interrupted,
    RunError,
    SavingFailed,
    json_lines,
)
from jaxnets.training.checkpoint import file
from jaxnets.training.monitors import loss_spikes


def interrupt(folder, at, **options):
    """Interrupt a run of three epochs by SIGTERM when it reports step `at`."""

    def report(progress):
        if progress.step == at:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted), Checkpoints(folder) as checkpoints:
        run(checkpoints=checkpoints, report=report, epochs=3, chunk_seconds=1e-9, **options)
    assert Checkpoints(folder).latest() == at


def resumed(folder, **options):
    with Checkpoints(folder) as checkpoints:
        return run(checkpoints=checkpoints, resume=True, **{"epochs": 3, **options})


def outcome(fitted):
    """The history without times, and the best epoch."""
    history = [p._replace(seconds=0, samples_per_second=0) for p in fitted.history]
    return history, fitted.best_epoch


@pytest.mark.parametrize("options", [{}, {"validation": VALIDATION, "patience": 3}])
@pytest.mark.parametrize("at", [5, 8])
def test_it_resumes_bit_for_bit_for_any_chunks(tmp_path, at, options):
    interrupt(tmp_path, at, **options)
    uninterrupted, continued = run(epochs=3, **options), resumed(tmp_path, **options)
    assert_same(plain(continued.train_state), plain(uninterrupted.train_state))
    for got, want in zip(*map(outcome, (continued, uninterrupted)), strict=True):
        assert got == want


def spiking(hparams):
    """SGD with one step that is far too long, the 29th."""
    return optax.sgd(lambda count: jnp.where(count == 28, 300.0, hparams["learning_rate"]))


SPIKING = by_rate(MODEL, optimizer=spiking)
LINEAR = by_rate(dense(3), metrics={"accuracy": metrics.accuracy})


@pytest.mark.parametrize("at", [5, 25, 30, 45])
def test_a_resumed_run_gives_the_same_warnings(tmp_path, at):
    """The loss jumps at step 29: resuming at 25 needs the past losses, at 30 the past report."""

    def warnings(run, **options):
        reported = []
        options |= {"train_step": SPIKING, "epochs": 12, "callbacks": [loss_spikes(window=20)]}
        run(report=lambda progress: reported.extend(progress.warnings), **options)
        return reported

    def interrupted(report, **options):
        def stop(progress):
            report(progress)
            if progress.step == at:
                signal.raise_signal(signal.SIGTERM)

        with pytest.raises(Interrupted), Checkpoints(tmp_path) as checkpoints:
            run(checkpoints=checkpoints, report=stop, chunk_seconds=1e-9, **options)

    (expected,) = warnings(run)
    assert " at step 29; in the 20 steps before, it was " in expected
    assert warnings(interrupted) + warnings(partial(resumed, tmp_path)) == [expected]


def test_a_checkpoint_without_monitor_states_can_be_resumed(tmp_path):
    run(epochs=1, checkpoints=Checkpoints(tmp_path))  # without monitors
    monitor = loss_spikes()
    resumed(tmp_path, callbacks=[monitor], epochs=2)
    assert len(monitor.state["past"]) == 5 * 8  # hexadecimal digits of five objectives


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    first = run(epochs=3, checkpoints=Checkpoints(tmp_path))
    again = resumed(tmp_path)
    assert_same(plain(again.train_state), plain(first.train_state))
    assert (outcome(again), again.train_seconds) == (outcome(first), first.train_seconds)


def test_early_stopping_keeps_the_best_when_a_run_is_resumed(tmp_path):
    """With this rate the loss soon rises again."""
    options = {"validation": VALIDATION, "patience": 2, "hparams": {"learning_rate": 2.0}}
    uninterrupted = run(epochs=12, **options)
    assert uninterrupted.history[-1].epoch < 12
    with Checkpoints(tmp_path) as checkpoints:
        run(epochs=uninterrupted.best_epoch + 1, checkpoints=checkpoints, **options)
    continued = resumed(tmp_path, epochs=12, **options)
    assert outcome(continued)[1] == uninterrupted.best_epoch
    assert_same(plain(continued.train_state), plain(uninterrupted.train_state))


def test_a_run_may_be_resumed_for_more_epochs(tmp_path):
    run(epochs=1, checkpoints=Checkpoints(tmp_path))
    assert_same(plain(resumed(tmp_path).train_state), plain(run(epochs=3).train_state))


def test_resuming_from_an_empty_folder_starts_a_new_run(tmp_path):
    assert_same(plain(resumed(tmp_path).train_state), plain(run(epochs=3).train_state))


def test_a_folder_with_a_run_is_not_overwritten(tmp_path):
    run(checkpoints=Checkpoints(tmp_path))
    with pytest.raises(RunError, match="already holds a run at step 10; pass resume=True"):
        run(checkpoints=Checkpoints(tmp_path))
    with pytest.raises(RunError, match="pass checkpoints as well"):
        run(resume=True)


@pytest.mark.parametrize(
    ("changed", "fields"),
    [
        ({"batch_size": 16}, ["batch_size: saved 12, given 16"]),
        ({"hparams": {"learning_rate": 0.2}}, [r"hparams\['learning_rate'\]: saved 0.1"]),
        ({"remainder": "pad", "batch_size": 13}, ["batch_size", "remainder: saved drop"]),
        ({"seed": 1}, ["key: "]),
        ({"data": (TRAIN[0] + 1, TRAIN[1])}, ["data: "]),
        ({"data": (TRAIN[0], (TRAIN[1] + 1) % 3)}, ["data: "]),
        ({"data": (*TRAIN, np.ones(64))}, ["data: "]),
        ({"patience": 1, "validation": VALIDATION}, ["patience: saved None, given 1"]),
        ({"evaluate_every": (7, "steps")}, ["evaluate_every: "]),
        ({"validation": VALIDATION}, ["validation: saved None"]),
    ],
)
def test_another_run_is_refused_with_every_difference(tmp_path, changed, fields):
    run(checkpoints=Checkpoints(tmp_path))
    compiled.clear()
    with pytest.raises(RunError, match="cannot resume with other settings") as error:
        resumed(tmp_path, **changed)
    assert not chunks_compiled()
    for field in fields:
        assert error.match(field)


def test_other_validation_labels_are_refused(tmp_path):
    run(checkpoints=Checkpoints(tmp_path), validation=VALIDATION)
    x, y = VALIDATION
    with pytest.raises(RunError, match="cannot resume with other settings:\n  validation: "):
        resumed(tmp_path, validation=(x, (y + 1) % 3))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"identity": None}, "it has no run settings"),
        ({"history": 3}, "TypeError"),
        ({"history": [{}]}, "KeyError"),
        ({"seconds": "\x1b[2J"}, "ValueError"),
    ],
)
def test_a_checkpoint_that_no_run_saved_is_refused_in_one_line(tmp_path, change, reason):
    run(checkpoints=Checkpoints(tmp_path))
    path = max(tmp_path.iterdir())
    content = file.read(path)
    file.write(path, content._replace(metadata=content.metadata | change))
    with pytest.raises(CheckpointError, match=f"was not saved by a run .*{reason}") as raised:
        resumed(tmp_path)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("train_step", [TRAIN_STEP, LINEAR], ids=["with a state", "without"])
def test_a_run_of_version_0_1_is_refused_as_such(tmp_path, train_step):
    run(train_step, checkpoints=Checkpoints(tmp_path / "new"))
    start = train_step(HPARAMS).init(jax.random.key(0), TRAIN[0][:1])
    zeros = (jnp.float32(0), jnp.float32(0))
    template = {"train_state": start, "sums": {"loss": zeros, "accuracy": zeros}}
    restored = Checkpoints(tmp_path / "new").restore(template)
    old = restored.tree["train_state"]._asdict()
    old["state"] = old.pop("model_state")
    tree = {"train_state": old, "sums": restored.tree["sums"]}
    metadata = {name: part for name, part in restored.metadata.items() if name != "format"}
    with Checkpoints(tmp_path / "old") as checkpoints:
        checkpoints.save(restored.step, tree, metadata)
    with pytest.raises(CheckpointError, match=r"saved by jaxnets 0\.1, .*; finish it with that"):
        resumed(tmp_path / "old", train_step=train_step)


def test_another_model_or_optimizer_is_refused_and_every_leaf_named(tmp_path):
    run(checkpoints=Checkpoints(tmp_path))
    with pytest.raises(CheckpointError, match=r"fc1/kernel[\s\S]*head/kernel"):
        resumed(tmp_path, train_step=LINEAR)


def test_saves_respect_the_interval_of_the_checkpoints(tmp_path, monkeypatch):
    saved = []
    keep = Checkpoints.save
    monkeypatch.setattr(
        Checkpoints, "save", lambda self, *a, **k: saved.append(a[0]) or keep(self, *a, **k)
    )
    run(checkpoints=Checkpoints(tmp_path / "often", every=0.0), chunk_seconds=1e-9)
    assert saved == [5, 6, 7, 8, 9, 10]
    saved.clear()
    run(checkpoints=Checkpoints(tmp_path / "once", every=1e9), chunk_seconds=1e-9)
    assert saved == [10]
    assert Checkpoints(tmp_path).every == 5.0


def test_a_failed_save_stops_the_run_with_its_result(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SavingFailed, match="file") as error:
        run(checkpoints=Checkpoints(tmp_path / "file" / "folder"))
    assert_same(plain(error.value.fit.train_state), plain(run().train_state))


def test_relative_paths_do_not_depend_on_a_later_working_directory(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    checkpoints, log = Checkpoints("run"), json_lines("log")
    monkeypatch.chdir(tmp_path / "elsewhere")
    with log as report:
        run(checkpoints=checkpoints, report=report)
    assert os.listdir() == []
    assert Checkpoints(tmp_path / "run").latest() == 10
    assert len((tmp_path / "log").read_text().splitlines()) == 2
