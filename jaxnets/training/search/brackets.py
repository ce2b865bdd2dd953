"""Runs brackets of trials: train all, keep the best, train those for longer."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import RunError
from jaxnets.keys import stream
from jaxnets.layer import Key
from jaxnets.messages import printable
from jaxnets.training.exceptions import Interrupted
from jaxnets.training.population import evaluate_population, fit_population
from jaxnets.training.population.members import take_members
from jaxnets.training.report import Reporter
from jaxnets.training.resume import identity
from jaxnets.training.runners import Strategy
from jaxnets.training.search.problem import Problem, Values, check_problem
from jaxnets.training.search.results import Results, Trial, check_same_search, ranked
from jaxnets.training.search.space import Setting, Space
from jaxnets.training.train_step import TrainState

Rungs = Sequence[tuple[int, int]]  # per rung, the number of trials and their epochs at its end


def run_brackets(
    problem: Problem,
    space: Space,
    settings: Sequence[Setting],
    brackets: Iterable[Rungs],
    *,
    key: Key,
    path: str | Path | None,
    report: Reporter,
    **algorithm: Any,
) -> Results:
    """Run the brackets one after another; they use the settings in their order.

    The file at `path` is rewritten after each bracket; brackets that it holds are not run again.

    Raises:
      RunError: the space or the problem does not fit, or the file is of another search.
      Interrupted: Ctrl-C or SIGTERM; it holds the `Results` of the finished brackets.
    """
    check_problem(problem, space, settings)
    path = None if path is None else Path(path).absolute()  # the working directory may change
    options = {"batch_size": problem.batch_size, "strategy": problem.strategy, **algorithm}
    search = identity(problem.train, problem.validation, None, key=key, **options)
    results = Results((), problem.objective, problem.smaller_is_better, dict(space), search)
    brackets = list(brackets)
    results = _load_results(results, brackets, path)
    done = {trial.bracket for trial in results.trials}
    first = 0
    for bracket, rungs in enumerate(brackets):
        numbers = range(first, first := first + rungs[0][0])
        if bracket in done:
            continue
        # Measure the faster strategy once: another choice would round differently.
        strategies: dict[Values, Strategy] = {
            problem.structure(trial.setting): trial.strategy for trial in results.trials
        }
        bracket_settings = {number: settings[number] for number in numbers}
        groups = groups_of(problem, bracket_settings, key, strategies)
        try:
            trials = _run_bracket(problem, groups, bracket_settings, bracket, rungs, report)
        except Interrupted as interrupted:
            raise Interrupted(results, interrupted.signal) from None
        results = results.with_trials(trials)
        if path is not None:
            results.to_json_lines(path)
    return results


def trial_key(key: Key, number: int | jax.Array) -> Key:
    """The key of a trial, from the search's key and the trial's number."""
    return stream(key, "trial", number)


@dataclass(frozen=True)
class Group:
    """Trials of the same structure, trained as one population.

    Attributes:
      structure: the structural values that they share.
      numbers: the numbers of the trials.
      keys: their keys, (N,).
      hparams: the values of each traced name, (N,).
      strategy: the population's strategy; None until it is measured.
      states: their train states, with leading axis N; None before the first rung.
      diverged: whether each of them diverged in the last rung.
    """

    structure: Values
    numbers: tuple[int, ...]
    keys: Key
    hparams: dict[str, jax.Array]
    strategy: Strategy | None
    states: TrainState | None = None
    diverged: tuple[bool, ...] = ()

    def select(self, numbers: set[int]) -> "Group":
        """The group of these trials alone."""
        rows = np.flatnonzero([number in numbers for number in self.numbers])
        keys, hparams, states = take_members((self.keys, self.hparams, self.states), rows)
        selected = tuple(self.numbers[i] for i in rows)
        return replace(self, numbers=selected, keys=keys, hparams=hparams, states=states)


def groups_of(
    problem: Problem, settings: dict[int, Setting], key: Key, strategies: dict[Values, Strategy]
) -> list[Group]:
    """The trials by their structures, with known strategies."""
    members: dict[Values, list[int]] = {}
    for number, setting in settings.items():
        members.setdefault(problem.structure(setting), []).append(number)

    def group(structure: Values, numbers: list[int]) -> Group:
        keys = jax.vmap(lambda number: trial_key(key, number))(jnp.array(numbers))
        traced = [problem.traced(settings[number]) for number in numbers]
        hparams = {name: jnp.array([values[name] for values in traced]) for name in traced[0]}
        strategy = strategies.get(structure) or problem.strategy
        return Group(structure, tuple(numbers), keys, hparams, strategy)

    return [group(structure, numbers) for structure, numbers in members.items()]


def _run_bracket(
    problem: Problem,
    groups: list[Group],
    settings: dict[int, Setting],
    bracket: int,
    rungs: Rungs,
    report: Reporter,
) -> tuple[Trial, ...]:
    """Successive halving: each rung continues the best trials of the rung before."""
    trials: dict[int, Trial] = {}
    for most, epochs in rungs:
        if trials:
            finite = [trial for trial in trials.values() if not trial.diverged]
            best = {t.number for t in ranked(finite, problem.smaller_is_better)[:most]}
            groups = [group.select(best) for group in groups if best & set(group.numbers)]
        groups = [train_group(problem, group, epochs, report) for group in groups]
        for group in groups:
            assert group.strategy is not None  # measured by fit_population
            scores = scores_of(problem, group, group.strategy)
            for n, score, diverged in zip(group.numbers, scores, group.diverged, strict=True):
                trials[n] = Trial(n, bracket, settings[n], epochs, score, diverged, group.strategy)
    return tuple(trials.values())


def train_group(problem: Problem, group: Group, epochs: int, report: Reporter) -> Group:
    """The group, trained up to `epochs`."""
    fitted = fit_population(
        problem.train_step_for(group.structure),
        problem.train,
        keys=group.keys,
        epochs=epochs,
        batch_size=problem.batch_size,
        hparams=group.hparams,
        start=group.states,
        strategy=group.strategy,
        report=report,
        devices=problem.devices,
        sharding=problem.sharding,
    )
    diverged = tuple((fitted.diverged >= 0).tolist())
    return replace(group, states=fitted.train_states, diverged=diverged, strategy=fitted.strategy)


def scores_of(problem: Problem, group: Group, strategy: Strategy) -> list[float]:
    """Each trial's objective on the validation split; NaN if it is not finite or diverged."""
    assert group.states is not None
    scores = evaluate_population(
        problem.train_step_for(group.structure),
        group.states,
        problem.validation,
        hparams=group.hparams,
        strategy=strategy,
    )[problem.objective]
    if scores.ndim > 1:
        raise RunError(
            "a search expects an objective with one number per trial, but "
            f"{problem.objective!r} has the shape {scores.shape[1:]}; choose another metric"
        )
    no_score = np.array(group.diverged) | ~np.isfinite(scores)
    return np.where(no_score, np.nan, scores).tolist()


def _load_results(results: Results, brackets: Sequence[Rungs], path: str | Path | None) -> Results:
    """The results in the file, if there is one of this search; else the empty results."""
    if path is None or not Path(path).exists():
        return results
    loaded = Results.from_json_lines(path)
    check_same_search(loaded.header, results.header, f"the search in {printable(path)}")
    _check_sizes(loaded, brackets, path)
    return loaded


def _check_sizes(results: Results, brackets: Sequence[Rungs], path: str | Path) -> None:
    """Refuse brackets with another number of trials than the algorithm's."""
    sizes = Counter(trial.bracket for trial in results.trials)
    expected = dict(enumerate(rungs[0][0] for rungs in brackets))
    if wrong := [bracket for bracket in sizes if sizes[bracket] != expected.get(bracket)]:
        bracket = min(wrong)
        raise RunError(
            f"{printable(path)} holds {sizes[bracket]} trials of bracket {bracket}, but the search "
            f"has {expected.get(bracket, 0)}; give the path of a new file"
        )
