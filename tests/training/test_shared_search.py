"""Processes that share a search finish each trial once, whichever of them die."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import jax
import numpy as np
import optuna
import pytest
from clouds import TRAIN, VALIDATION, by_rate
from refusals import assert_refused

from jaxnets import losses, models
from jaxnets.sharding import ShardingPlan
from jaxnets.training import RunError
from jaxnets.training.search import (
    Problem,
    choice,
    log_uniform,
    random_search,
    search,
)
from jaxnets.training.search.study import as_optuna, from_study

HERE = Path(__file__).parent
KEY = jax.random.key(3)
SPACE = {"learning_rate": log_uniform(1e-4, 1.0)}
TRAIN_STEP = by_rate(models.linear(3), losses.softmax_cross_entropy)
TRIALS = 64
WORKER = """
import json, os, sys
from test_shared_search import shared
from jaxnets.training.search import study
if sys.argv[2] == "dies":  # while it trains its trials
    study.SharedStudy.report = lambda *_, **__: os.kill(os.getpid(), 9)
print(json.dumps({trial.number: trial.score for trial in shared(sys.argv[1]).trials}))
"""


def problem(**options):
    options = {"objective": "loss", "smaller_is_better": True, "strategy": "vmap"} | options
    return Problem(TRAIN_STEP, TRAIN, VALIDATION, 12, **options)


def shared(storage, **options):
    options = {"trials": TRIALS, "epochs": 1, "stale_seconds": 1.0} | options
    return search(problem(), SPACE, key=KEY, storage=storage, **options)


@pytest.fixture(scope="module")
def expected():
    """The trials of a search in one process, without storage."""
    results = random_search(problem(), SPACE, key=KEY, trials=TRIALS, epochs=1, max_parallel=16)
    return {trial.number: trial for trial in results.trials}


def same(results, expected):
    assert [t.number for t in sorted(results.trials)] == list(range(len(expected)))
    for trial in results.trials:
        one = expected[trial.number]
        assert trial.setting == one.setting
        np.testing.assert_allclose(trial.score, one.score, rtol=1e-5)


def trials_of(storage):
    backend = optuna.storages.journal.JournalFileBackend(str(storage))
    storage = optuna.storages.JournalStorage(backend)
    return optuna.load_study(study_name="search", storage=storage).get_trials()


def states(storage):
    return Counter(trial.state.name for trial in trials_of(storage))


def start(*arguments):
    path = os.pathsep.join(map(str, [HERE, HERE.parent, HERE.parents[1]]))
    environment = {**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", WORKER, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_two_workers_finish_all_trials_though_one_is_killed_and_restarted(tmp_path, expected):
    storage = tmp_path / "study.log"
    killed = start(storage, "dies")
    killed.communicate()
    assert killed.returncode == -9
    assert states(storage) == {"RUNNING": 16}
    restarted = start(storage, "lives")
    while len(trials_of(storage)) == 16 and restarted.poll() is None:  # so that both take trials
        time.sleep(0.05)
    results = shared(storage)
    printed, _ = restarted.communicate()
    same(results, expected)
    assert json.loads(printed) == {str(trial.number): trial.score for trial in results.trials}
    complete = [trial for trial in trials_of(storage) if trial.state.name == "COMPLETE"]
    assert len(complete) == TRIALS
    assert len({trial.user_attrs["worker"] for trial in complete}) == 2
    ended = states(storage)  # both may ask for the last trial at once: one of them gives it back
    assert ended["FAIL"] >= 16 and ended.keys() == {"COMPLETE", "FAIL"}


def test_a_pruner_ends_trials_by_their_scores_after_an_epoch(tmp_path):
    pruner = optuna.pruners.ThresholdPruner(upper=-1.0)  # no loss is below
    results = shared(tmp_path / "study.log", trials=16, epochs=3, pruner=pruner)
    assert [trial.epochs for trial in results.trials] == [1] * 16
    assert states(tmp_path / "study.log") == {"PRUNED": 16}
    with pytest.raises(RunError, match=r"(?s)other settings.*trials: saved 16, given 17"):
        shared(tmp_path / "study.log", trials=17, epochs=3)


def test_a_trial_that_diverges_is_not_tried_again(tmp_path):
    space = {"learning_rate": choice(3e38, 0.1)}
    options = {"key": KEY, "trials": 16, "epochs": 1, "storage": tmp_path / "study.log"}
    with jax.debug_key_reuse(False):  # the step at which members diverge is found by a rerun
        results = search(problem(), space, **options)
    assert {trial.setting["learning_rate"] for trial in results.trials if trial.diverged} == {3e38}
    assert len(results.trials) == 16 and not results.best.diverged


def test_options_that_optuna_cannot_store_are_stored_by_their_text():
    distribution = choice((3, 3), "same", None)
    stored = as_optuna(distribution).choices
    assert stored == ("(3, 3)", "same", None)
    assert [from_study(distribution, value) for value in stored] == [(3, 3), "same", None]


def test_the_members_of_a_search_are_trained_on_different_devices(expected):
    sharded = problem(sharding=ShardingPlan({"members": 2}))
    results = random_search(sharded, SPACE, key=KEY, trials=16, epochs=1)
    same(results, {number: expected[number] for number in range(16)})


@pytest.mark.parametrize("seconds", [0, -1, "1", True, float("nan")])
def test_a_wrong_time_until_a_process_counts_as_dead_is_refused(seconds):
    assert_refused(lambda: shared("study.log", stale_seconds=seconds), "to be a positive number")


def test_a_missing_optuna_is_refused_with_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert_refused(lambda: shared("study.log"), r"pip install 'jaxnets\[search\]'")
