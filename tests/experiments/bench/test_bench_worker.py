"""A worker answers every command, and jaxnets trains exactly as with `fit`."""

import io
import json
import sys

import jax
import numpy as np
import pytest
from jax.nn.initializers import zeros

from experiments.bench.peers import ours
from experiments.bench.process import Contender, LeftOut, Process
from experiments.bench.task import Task
from experiments.bench.worker import serve
from jaxnets import dense, flatten, serial
from jaxnets.training import fit


@pytest.fixture
def task(small_mnist, monkeypatch):
    """A task of a network without random initial weights, which take time to compile."""
    head = dense(10, kernel_init=zeros)
    monkeypatch.setitem(ours.NETWORKS, "mlp", lambda: serial(flatten, ("head", head)))
    return Task("mlp", data_dir=str(small_mnist))


def test_every_command_is_answered_by_a_line_with_its_seconds(monkeypatch, task):
    commands = [
        {"do": "prepare"},
        {"do": "steps", "n": 20},
        {"do": "epoch"},
        {"do": "accuracy"},
        {"do": "device"},
        {"do": "stop"},
        {"do": "steps", "n": 1},  # after the end
    ]
    lines = "".join(json.dumps(command) + "\n" for command in commands)
    monkeypatch.setattr(sys, "stdin", io.StringIO(lines))
    answers = []
    serve(task, "ours", answers.append)
    hello, prepared, steps, epoch, accuracy, device, stopped = answers
    assert hello["versions"]["jax"] == jax.__version__ and hello["import_seconds"] > 0
    assert all(answer["seconds"] >= 0 for answer in answers[1:])
    parts = sum(prepared[part] for part in ("make_seconds", "trace_seconds", "compile_seconds"))
    assert 0.9 * prepared["seconds"] < parts <= prepared["seconds"]
    assert steps["loss"] < 2 and set(epoch) == {"seconds"}
    assert 0.5 < accuracy["accuracy"] <= 1
    assert device["device"] == jax.devices()[0].device_kind
    assert stopped["peak_memory_bytes"] > 50e6
    assert json.loads(json.dumps(answers)) == answers


def test_steps_of_jaxnets_are_those_of_fit_for_chunks_of_any_length(task, monkeypatch):
    monkeypatch.setattr("jaxnets.training.run.CAPACITY", 2)
    trainer = ours.make(task._replace(seed=3))
    trainer.prepare()
    losses = [trainer.steps(3), trainer.steps(1)]
    trainer.steps(1)
    sizes = {"key": jax.random.key(3), "epochs": 1, "batch_size": 128}
    fitted = fit(trainer.train_step, trainer.train, **sizes)
    trained = trainer.run.train_state
    assert int(trained.step) == 5 and losses[1] < losses[0]
    same = jax.tree.map(np.array_equal, trained.params, fitted.train_state.params)
    assert all(jax.tree.leaves(same))


def test_a_framework_that_is_not_installed_is_named(monkeypatch, task):
    monkeypatch.setitem(sys.modules, "torch", None)
    answers = []
    serve(task, "torch", answers.append)
    (answer,) = answers
    assert "torch is not installed" in answer["left_out"]


def test_a_worker_that_crashes_is_left_out_with_its_last_lines_of_stderr(task):
    with Process(Contender("ours"), task._replace(data_dir="/nowhere/at/all")) as process:
        assert "jax" in process.description["versions"]
        with pytest.raises(LeftOut, match=r"(?s)ended with status 2:.*nowhere"):
            process.ask("prepare")
        with pytest.raises(LeftOut, match="ended with status 2"):
            process.ask("steps", n=1)


def test_a_worker_that_does_not_answer_in_time_is_killed_and_left_out_with_the_reason(task):
    with Process(Contender("ours"), task) as process:
        with pytest.raises(LeftOut, match=r"^it did not answer 'prepare' within 0\.01 s$"):
            process.ask("prepare", within=0.01)
        assert process.process.wait() != 0
