"""A search trains its brackets, ranks trials by validation only, and resumes with equal results."""

import dataclasses
import inspect
import json
import os
import signal
import textwrap
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from clouds import TRAIN, VALIDATION, by_rate, clouds
from refusals import chunks_compiled

from jaxnets import LayerError, dense, dropout, losses, metrics, models, serial
from jaxnets.training import Interrupted, RunError, evaluate, make_train_step, search
from jaxnets.training.population import fit_population
from jaxnets.training.search import (
    Problem,
    Results,
    choice,
    grid,
    hyperband,
    integers,
    log_uniform,
    random_search,
    retrain,
    successive_halving,
    uniform,
)
from jaxnets.training.search.algorithms import hyperband_brackets
from jaxnets.training.search.space import draw

KEY = jax.random.key(3)
RATES = {"learning_rate": log_uniform(1e-4, 1.0)}


def plain_sgd(hparams):
    return optax.sgd(hparams["learning_rate"])


def scored(model=models.linear(3), loss=losses.softmax_cross_entropy, optimizer=plain_sgd):
    return by_rate(model, loss, optimizer, metrics={"accuracy": metrics.accuracy})


TRAIN_STEP = scored()


def problem(train_step=TRAIN_STEP, **options):
    options = {
        "train": TRAIN,
        "validation": VALIDATION,
        "batch_size": 12,
        "objective": "loss",
        "smaller_is_better": True,
        "strategy": "vmap",
    } | options
    return Problem(train_step, **options)


PROBLEM = problem()


def rows(results):
    return [(t.number, t.bracket, t.setting, t.epochs, t.score, t.diverged) for t in results.trials]


@pytest.fixture
def populations(monkeypatch):
    """Per population, the number of members and the epochs at its start and its end."""
    seen, steps = [], 5  # per epoch

    def counted(*arguments, **options):
        begun = options["start"] and int(options["start"].step.max()) // steps
        seen.append((len(options["keys"]), begun or 0, options["epochs"]))
        return fit_population(*arguments, **options)

    monkeypatch.setattr("jaxnets.training.search.brackets.fit_population", counted)
    return seen


def test_the_brackets_are_those_of_the_papers_table():
    """Table 1, R = 81 and eta = 3, with the total units of each configuration."""
    assert list(hyperband_brackets(81, 3)) == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ]
    assert next(hyperband_brackets(20, 3)) == [(9, 2), (3, 6), (1, 20)]


def test_hyperband_trains_its_brackets_and_survivors_continue(populations):
    results = hyperband(PROBLEM, RATES, key=KEY, epochs=4, eta=4)
    assert populations == [(4, 0, 1), (1, 1, 4), (2, 0, 4)]
    by_number = sorted(results.trials, key=lambda trial: trial.number)
    assert [t.bracket for t in by_number] == [0] * 4 + [1] * 2
    assert sorted(t.epochs for t in by_number[:4]) == [1, 1, 1, 4]
    assert results.epochs == (1 + 1 + 1 + 4) + 2 * 4
    settings = [t.setting for t in by_number]
    assert settings == draw(RATES, KEY, 6)


def test_the_survivors_are_the_best_and_a_trial_is_the_model_trained_alone():
    results = successive_halving(PROBLEM, RATES, key=KEY, trials=4, epochs=4, eta=2)
    early = random_search(PROBLEM, RATES, key=KEY, trials=4, epochs=1)
    assert results.best.number in {trial.number for trial in early.trials[:2]}
    assert {t.number for t in early.trials[2:]} == {
        t.number for t in results.trials if t.epochs == 1
    }
    for trial in results.trials:
        state = retrain(PROBLEM, trial, key=KEY).train_state
        alone = evaluate(TRAIN_STEP, state, VALIDATION, hparams=trial.setting)
        assert abs(alone["loss"] - trial.score) < 1e-5 * trial.score


def test_only_validation_decides_the_ranking():
    """Wrong labels in the validation split alone reverse the ranking."""
    x, y = VALIDATION
    right = problem(objective="accuracy", smaller_is_better=False)
    wrong = problem(validation=(x, (y + 1) % 3), objective="accuracy", smaller_is_better=True)
    rates = {"learning_rate": choice(1e-6, 0.1)}
    assert grid(right, rates, key=KEY, epochs=2).best.setting == {"learning_rate": 0.1}
    assert grid(wrong, rates, key=KEY, epochs=2).best.setting == {"learning_rate": 0.1}
    assert grid(right, rates, key=KEY, epochs=2).best.score == 1.0


def test_a_trial_that_diverges_ranks_last_and_does_not_continue(populations):
    squared = scored(loss=lambda outputs, y: losses.squared_error(outputs, jax.nn.one_hot(y, 3)))
    rates = {"learning_rate": choice(1e30, 0.001)}
    results = grid(problem(squared), rates, key=KEY, epochs=3)
    last = results.trials[-1]
    assert last.diverged and np.isnan(last.score) and last.setting == {"learning_rate": 1e30}
    assert not results.best.diverged
    populations.clear()
    none_left = successive_halving(
        problem(squared), {"learning_rate": uniform(1e30, 2e30)}, key=KEY, trials=2, epochs=2, eta=2
    )
    assert [t.diverged for t in none_left.trials] == [True, True]
    assert populations == [(2, 0, 1)]


def test_traced_values_never_recompile_and_a_structure_compiles_once(populations):
    built = []

    def build(units):
        built.append(units)
        return scored(models.mlp((*units, 3)))

    space = {"learning_rate": choice(0.1, 0.01), "units": choice((4,), (4, 4))}
    deep, before = problem(build, structural=("units",)), chunks_compiled()
    first = grid(deep, space, key=KEY, epochs=1)
    again = space | {"learning_rate": choice(0.3, 0.02)}
    grid(deep, again, key=jax.random.key(4), epochs=1)
    assert chunks_compiled() == before + 2
    assert built == [(4,), (4, 4)]
    assert populations == [(2, 0, 1)] * 4
    state = retrain(deep, first.best, key=KEY).train_state
    assert len(state.params) == len(first.best.setting["units"]) + 1


def test_trials_of_all_structures_compete(populations):
    """Only trials of the structure that can learn survive."""

    def build(gain):
        return scored(serial(lambda x: gain * x, ("net", models.linear(3))))

    space = {"learning_rate": choice(0.1, 0.05), "gain": choice(0, 1)}
    scored_problem = problem(
        build, objective="accuracy", smaller_is_better=False, structural=("gain",)
    )
    results = successive_halving(scored_problem, space, key=KEY, trials=4, epochs=2, eta=2)
    useful = {t.number for t in results.trials if t.setting["gain"]}
    assert {t.number for t in results.trials if t.epochs == 2} <= useful
    assert 2 <= len(useful) < 4  # or the test would prove nothing


def test_hyperparameters_of_every_part_count_as_used():
    def train_step(h):
        return make_train_step(
            serial(("drop", dropout(h["dropout_rate"])), ("net", dense(3))),
            optax.sgd(h["learning_rate"]),
            lambda o, y: h["temper"] * losses.softmax_cross_entropy(o, y),
            metrics={"loss": metrics.mean(losses.softmax_cross_entropy)},
            penalty=lambda params: losses.l2(params, h["alpha"]),
            augment=lambda key, x, y: (x + h["shift"], y),
        )

    names = ("dropout_rate", "learning_rate", "temper", "alpha", "shift")
    space = {name: uniform(0.1, 0.2) for name in names}
    with pytest.raises(RunError, match=r"the space has \['other'\], but neither model"):
        start(space | {"other": uniform(0, 1)}, train_step)


def test_a_name_that_is_read_and_changes_nothing_is_unused():
    def optimizer(hparams):
        jnp.square(hparams["idle"])
        return optax.sgd(hparams["learning_rate"])

    with pytest.raises(RunError, match=r"\['idle'\].*remove them from the space"):
        start(RATES | {"idle": uniform(0, 1)}, scored(optimizer=optimizer))


def truncate(path, brackets):
    """Keep only the first brackets in the file, as after a killed search."""
    header, *lines = path.read_text().splitlines()
    kept = [line for line in lines if json.loads(line)["bracket"] < brackets]
    path.write_text("\n".join([header, *kept]) + "\n")


def test_a_resumed_search_gives_the_same_table_and_repeats_no_bracket(tmp_path, populations):
    path = tmp_path / "search.jsonl"

    def run(path):
        return hyperband(PROBLEM, RATES, key=KEY, epochs=4, eta=4, path=path)

    uninterrupted = run(path)
    content = path.read_bytes()
    for brackets, expected in ((2, []), (1, [(2, 0, 4)])):
        truncate(path, brackets)
        populations.clear()
        assert rows(run(path)) == rows(uninterrupted)
        assert populations == expected
        assert path.read_bytes() == content
    assert rows(run(None)) == rows(uninterrupted)


def test_a_signal_ends_a_search_with_the_brackets_it_had(tmp_path):
    path, reports = tmp_path / "search.jsonl", []

    def report(progress):
        reports.append(progress)
        if len(reports) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    options = {"key": KEY, "trials": 6, "epochs": 1, "max_parallel": 2, "path": path}
    with pytest.raises(Interrupted) as caught:
        random_search(PROBLEM, RATES, report=report, **options)
    assert sorted(trial.number for trial in caught.value.fit.trials) == [0, 1, 2, 3]
    uninterrupted = random_search(PROBLEM, RATES, **options | {"path": None})
    assert rows(random_search(PROBLEM, RATES, **options)) == rows(uninterrupted)


def test_a_search_resolves_a_relative_path_at_its_start(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    options = {"key": KEY, "trials": 2, "epochs": 1, "path": "search.jsonl"}
    random_search(PROBLEM, RATES, report=lambda _: os.chdir(tmp_path / "elsewhere"), **options)
    assert sorted(os.listdir(tmp_path)) == ["elsewhere", "search.jsonl"]


def test_a_measured_strategy_is_kept_when_resumed(tmp_path, monkeypatch):
    path = tmp_path / "search.jsonl"
    options = {"key": KEY, "trials": 4, "epochs": 1, "max_parallel": 2, "path": path}
    measured = []

    def slowest(run, hparams):
        measured.append(run.loop.runner.members)
        return "map"

    monkeypatch.setattr("jaxnets.training.population.fit.fastest", slowest)
    free = problem(strategy=None)
    uninterrupted = random_search(free, RATES, **options)
    assert [t.strategy for t in uninterrupted.trials] == ["map"] * 4
    truncate(path, 1)
    assert random_search(free, RATES, **options) == uninterrupted
    assert measured == [2]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"key": jax.random.key(5)}, "key"),
        ({"epochs": 2}, "epochs"),
        ({"space": {"learning_rate": uniform(0.1, 1)}}, "space"),
        ({"problem": problem(train=clouds(64, seed=9))}, "data"),
        ({"problem": problem(objective="accuracy")}, "objective"),
    ],
)
def test_a_file_of_another_search_is_refused(tmp_path, change, named):
    path = tmp_path / "search.jsonl"
    options = {"problem": PROBLEM, "space": RATES, "key": KEY, "trials": 2, "epochs": 1}
    random_search(**options, path=path)
    content = path.read_bytes()
    with pytest.raises(RunError, match=rf"(?s)other settings:\n  {named}: saved .*a new file"):
        random_search(**options | change, path=path)
    assert path.read_bytes() == content


def test_brackets_of_other_sizes_than_the_algorithms_are_refused(tmp_path, populations):
    path = tmp_path / "search.jsonl"
    options = {"key": KEY, "trials": 4, "epochs": 1, "max_parallel": 2, "path": path}
    results = random_search(PROBLEM, RATES, **options)
    merged = [trial._replace(bracket=0) for trial in results.trials]
    dataclasses.replace(results, trials=tuple(merged)).to_json_lines(path)
    populations.clear()
    with pytest.raises(RunError, match="4 trials of bracket 0, but the search has 2; give"):
        random_search(PROBLEM, RATES, **options)
    assert not populations


def start(space=RATES, train_step=TRAIN_STEP, trials=2, epochs=1, **options):
    random_search(problem(train_step, **options), space, key=KEY, trials=trials, epochs=epochs)


def from_units(units):
    return scored(models.mlp((units, 3)))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: start({}), "at least one name, but got an empty one; write"),
        (lambda: start(trials=0), "trials to be a positive integer, but got 0"),
        (lambda: start(epochs=0), "epochs to be a positive integer, but got 0"),
        (lambda: start(epochs=1.5), "epochs to be a positive integer, but got 1.5"),
        (lambda: start(objective="f1"), r"among the metrics \['loss', 'accuracy'\], but got 'f1'"),
        (
            lambda: start({"activation": choice("relu")}),
            r"'activation' is one of .*structural=",
        ),
        (
            lambda: start(train_step=from_units, structural=("units",)),
            r"built from \['units'\], but the space lacks",
        ),
        (
            lambda: start(
                *(RATES | {"units": choice(4), "depth": choice(1)}, from_units),
                structural=("units",),
            ),
            r"the space has \['depth'\]",
        ),
        (lambda: grid(PROBLEM, RATES, key=KEY, epochs=1), "'learning_rate' is log_uniform; write"),
        (lambda: grid(PROBLEM, {}, key=KEY, epochs=1), "got an empty one"),
        (
            lambda: hyperband(PROBLEM, RATES, key=KEY, epochs=9, eta=1),
            "eta to be an integer of at least 2, but got 1",
        ),
    ],
)
def test_arguments_that_do_not_fit_are_refused(wrong, message, populations):
    with pytest.raises(RunError, match=message):
        wrong()
    assert not populations


def test_a_traced_hyperparameter_that_decides_a_shape_is_refused_with_the_cure():
    def train_step(hparams):
        return scored(models.mlp((hparams["units"], 3)))(hparams)

    with pytest.raises(LayerError) as caught:
        start(RATES | {"units": integers(2, 4)}, train_step)
    assert any("must be structural" in note for note in caught.value.__notes__)


def test_the_example_with_optuna_runs(monkeypatch):
    """Optuna is replaced by a fake, since it is not a dependency of the tests."""
    listing = textwrap.dedent(inspect.getdoc(search).split("use ask and tell:\n")[1])
    scores = []

    def ask():
        rate = 10.0 ** -(1 + len(scores) % 4)
        return types.SimpleNamespace(suggest_float=lambda name, low, high, log: rate)

    study = types.SimpleNamespace(ask=ask, tell=lambda trial, score: scores.append(score))
    create_study = {"create_study": lambda direction: study}
    small = {"batch_size": 12, "strategy": "vmap"}
    names = {
        "optuna": types.SimpleNamespace(**create_study),
        "fit_population": lambda *a, **o: fit_population(*a, **o | small),
        "jax": jax,
        "jnp": jnp,
        "train_step": TRAIN_STEP,
        "train": TRAIN,
        "validation": VALIDATION,
    }
    exec(listing, names)
    assert len(scores) == 64 and all(0 <= score <= 1 for score in scores)


def test_the_file_reads_back_as_the_results(tmp_path):
    results = random_search(PROBLEM, RATES, key=KEY, trials=2, epochs=1)
    results.to_json_lines(tmp_path / "r.jsonl")
    assert Results.from_json_lines(tmp_path / "r.jsonl") == results
