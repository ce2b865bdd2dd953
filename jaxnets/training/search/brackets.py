"""Brackets of trials: train all, keep the best, train those on."""

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
from jaxnets.training.report import Reporter
from jaxnets.training.resume import identity
from jaxnets.training.runners import Strategy
from jaxnets.training.search.problem import Problem, Values, check_problem
from jaxnets.training.search.results import Results, Trial, ranked
from jaxnets.training.search.space import Setting, Space
from jaxnets.training.train_step import TrainState

Rungs = Sequence[tuple[int, int]]  # how many trials, and the epochs behind them at its end


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
    """Run the brackets one after another on the settings in their order.

    The file at `path` is written anew after each; brackets found in it are not run again.

    Raises:
      RunError: the space or the problem do not fit, or the file is of another search.
      Interrupted: Ctrl-C or SIGTERM; it holds the `Results` of the brackets that were finished.
    """
    check_problem(problem, space, settings)
    path = None if path is None else Path(path).absolute()  # a later chdir changes nothing
    options = {"batch_size": problem.batch_size, "strategy": problem.strategy, **algorithm}
    same = identity(problem.train, problem.validation, None, key=key, **options)
    results = Results((), problem.objective, problem.smaller_is_better, dict(space), same)
    brackets = list(brackets)
    results = _continued(results, brackets, path)
    done = {trial.bracket for trial in results.trials}
    first = 0
    for bracket, rungs in enumerate(brackets):
        numbers = range(first, first := first + rungs[0][0])
        if bracket in done:
            continue
        # Which strategy is faster is measured once: a second time might choose, and round, anew.
        known: dict[Values, Strategy] = {
            problem.structure(trial.setting): trial.strategy for trial in results.trials
        }
        own = {number: settings[number] for number in numbers}
        groups = _groups(problem, own, key, known)
        try:
            found = _bracket(problem, groups, own, bracket, rungs, report)
        except Interrupted as interrupted:
            raise Interrupted(results, interrupted.signal) from None
        results = results.with_trials(found)
        if path is not None:
            results.to_json_lines(path)
    return results


def trial_key(key: Key, number: int | jax.Array) -> Key:
    """The key of a search's trial, by its number."""
    return stream(key, "trial", number)


@dataclass(frozen=True)
class Group:
    """Trials of one structure, which are one population.

    Attributes:
      structure: the structural values they share.
      numbers: the trials'.
      keys: (N,).
      hparams: the values of each traced name, (N,).
      strategy: how they run; None until it is measured.
      states: where they stand, leading axis N; None before the first rung.
      diverged: which of them stopped being finite, in the last rung.
    """

    structure: Values
    numbers: tuple[int, ...]
    keys: Key
    hparams: dict[str, jax.Array]
    strategy: Strategy | None
    states: TrainState | None = None
    diverged: tuple[bool, ...] = ()

    def only(self, numbers: set[int]) -> "Group":
        """The group without the other trials, stacked anew on the device."""
        rows = np.flatnonzero([number in numbers for number in self.numbers])
        keys, hparams, states = jax.tree.map(
            lambda leaf: leaf[rows], (self.keys, self.hparams, self.states)
        )
        kept = tuple(self.numbers[i] for i in rows)
        return replace(self, numbers=kept, keys=keys, hparams=hparams, states=states)


def _groups(
    problem: Problem, settings: dict[int, Setting], key: Key, known: dict[Values, Strategy]
) -> list[Group]:
    members: dict[Values, list[int]] = {}
    for number, setting in settings.items():
        members.setdefault(problem.structure(setting), []).append(number)

    def group(structure: Values, numbers: list[int]) -> Group:
        keys = jax.vmap(lambda number: trial_key(key, number))(jnp.array(numbers))
        traced = [problem.traced(settings[number]) for number in numbers]
        hparams = {name: jnp.array([values[name] for values in traced]) for name in traced[0]}
        strategy = known.get(structure) or problem.strategy
        return Group(structure, tuple(numbers), keys, hparams, strategy)

    return [group(structure, numbers) for structure, numbers in members.items()]


def _bracket(
    problem: Problem,
    groups: list[Group],
    settings: dict[int, Setting],
    bracket: int,
    rungs: Rungs,
    report: Reporter,
) -> tuple[Trial, ...]:
    """Successive halving: each rung trains on as many of the best as it says."""
    trials: dict[int, Trial] = {}
    for most, epochs in rungs:
        if trials:
            healthy = [trial for trial in trials.values() if not trial.diverged]
            best = {t.number for t in ranked(healthy, problem.smaller_is_better)[:most]}
            groups = [group.only(best) for group in groups if best & set(group.numbers)]
        groups = [_trained(problem, group, epochs, report) for group in groups]
        for group in groups:
            assert group.strategy is not None  # it was measured by now
            scores = _scores(problem, group, group.strategy)
            for n, score, diverged in zip(group.numbers, scores, group.diverged, strict=True):
                trials[n] = Trial(n, bracket, settings[n], epochs, score, diverged, group.strategy)
    return tuple(trials.values())


def _trained(problem: Problem, group: Group, epochs: int, report: Reporter) -> Group:
    """The group when `epochs` are behind it."""
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
    )
    diverged = tuple((fitted.diverged >= 0).tolist())
    return replace(group, states=fitted.train_states, diverged=diverged, strategy=fitted.strategy)


def _scores(problem: Problem, group: Group, strategy: Strategy) -> list[float]:
    """Each trial's objective on the validation split; NaN where it is not finite, or diverged."""
    assert group.states is not None
    found = evaluate_population(
        problem.train_step_for(group.structure),
        group.states,
        problem.validation,
        hparams=group.hparams,
        strategy=strategy,
    )[problem.objective]
    if found.ndim > 1:
        raise RunError(
            f"a search expects an objective of one number a trial, but {problem.objective!r} has "
            f"the shape {found.shape[1:]}; choose another metric"
        )
    lost = np.array(group.diverged) | ~np.isfinite(found)
    return np.where(lost, np.nan, found).tolist()


def _continued(results: Results, brackets: Sequence[Rungs], path: str | Path | None) -> Results:
    """The results so far: those in the file, where there is one, and it is of this search."""
    if path is None or not Path(path).exists():
        return results
    found = Results.from_json_lines(path)
    saved, given = ({**r.header, **r.header["identity"]} for r in (found, results))
    names = [n for n in given if n != "identity" and saved.get(n) != given[n]]
    if names:
        lines = "\n".join(
            f"  {n}: saved {printable(saved.get(n))}, given {printable(given[n])}" for n in names
        )
        raise RunError(
            f"the search in {printable(path)} cannot go on with other settings:\n{lines}\n"
            "Give those it was started with, or the path of a new file."
        )
    _check_sizes(found, brackets, path)
    return found


def _check_sizes(found: Results, brackets: Sequence[Rungs], path: str | Path) -> None:
    """Refuse brackets of other sizes than the algorithm's."""
    sizes = Counter(trial.bracket for trial in found.trials)
    expected = dict(enumerate(rungs[0][0] for rungs in brackets))
    if wrong := [bracket for bracket in sizes if sizes[bracket] != expected.get(bracket)]:
        bracket = min(wrong)
        raise RunError(
            f"{printable(path)} holds {sizes[bracket]} trials of bracket {bracket}, but the search "
            f"has {expected.get(bracket, 0)}; give the path of a new file"
        )
