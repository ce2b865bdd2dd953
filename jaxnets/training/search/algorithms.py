"""Grid search, random search, successive halving and Hyperband, each as a list of brackets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxnets.errors import RunError
from jaxnets.layer import Key
from jaxnets.training.arguments import count, single_key
from jaxnets.training.fit import FitResult, fit
from jaxnets.training.report import Reporter, silent
from jaxnets.training.search.brackets import Rungs, run_brackets, trial_key
from jaxnets.training.search.problem import Problem
from jaxnets.training.search.results import Results, Trial
from jaxnets.training.search.space import Space, draw, product


def grid(
    problem: Problem,
    space: Space,
    *,
    key: Key,
    epochs: int,
    max_parallel: int = 64,
    path: str | Path | None = None,
    report: Reporter = silent,
) -> Results:
    """Try every setting of a space of choices and integers.

    Args:
      problem: the train step, the data and the objective.
      space: distributions by name, none of them continuous.
      key: a random key for each trial's initial weights, shuffling and other randomness.
      epochs: the number of epochs per trial.
      max_parallel: the maximum number of trials per program; they must fit into the memory.
      path: a JSON-lines file of the results, written after each bracket. If it exists and is of
        the same search, the brackets in it are not run again.
      report: called with the `Progress` of each population.

    Raises:
      RunError: an argument does not fit, which is checked before training.
      Interrupted: Ctrl-C or SIGTERM; it holds the `Results` so far.
    """
    key, (epochs, max_parallel) = _check(key, epochs=epochs, max_parallel=max_parallel)
    settings = product(space)
    brackets = _single_rungs(len(settings), epochs, max_parallel)
    options = {"algorithm": "grid", "epochs": epochs, "max_parallel": max_parallel}
    return run_brackets(
        problem, space, settings, brackets, key=key, path=path, report=report, **options
    )


def random_search(
    problem: Problem,
    space: Space,
    *,
    key: Key,
    trials: int,
    epochs: int,
    max_parallel: int = 64,
    path: str | Path | None = None,
    report: Reporter = silent,
) -> Results:
    """Try `trials` settings sampled from the space; the other arguments are those of `grid`.

    A search with the same key and more trials starts with the same trials.

    Source: Bergstra & Bengio 2012, Random search for hyper-parameter optimization.
    """
    key, (trials, epochs, max_parallel) = _check(
        key, trials=trials, epochs=epochs, max_parallel=max_parallel
    )
    brackets = _single_rungs(trials, epochs, max_parallel)
    options = {
        "algorithm": "random",
        "trials": trials,
        "epochs": epochs,
        "max_parallel": max_parallel,
    }
    settings = draw(space, key, trials)
    return run_brackets(
        problem, space, settings, brackets, key=key, path=path, report=report, **options
    )


def successive_halving(
    problem: Problem,
    space: Space,
    *,
    key: Key,
    trials: int,
    epochs: int,
    eta: int = 3,
    path: str | Path | None = None,
    report: Reporter = silent,
) -> Results:
    """Train `trials` settings briefly, the best 1/eta of them eta times as long, and so on.

    The last rung is trained for all `epochs`. Survivors continue from their train state, so the
    epochs of a trial count once. It is a single bracket, which starts over after an interruption.
    The other arguments are those of `grid`.

    Source: Jamieson & Talwalkar 2016, Non-stochastic best arm identification.
    """
    key, (trials, epochs, eta) = _check(key, trials=trials, epochs=epochs, eta=eta)
    rungs = halvings(trials, epochs, eta, min(_power(trials, eta), _power(epochs, eta)))
    options = {"algorithm": "halving", "trials": trials, "epochs": epochs, "eta": eta}
    settings = draw(space, key, trials)
    return run_brackets(
        problem, space, settings, [rungs], key=key, path=path, report=report, **options
    )


def hyperband(
    problem: Problem,
    space: Space,
    *,
    key: Key,
    epochs: int,
    eta: int = 3,
    path: str | Path | None = None,
    report: Reporter = silent,
) -> Results:
    """Several brackets of successive halving, from many short trials to few long ones.

    With `epochs` R = 27 and eta 3, the brackets start with 27, 12, 6 and 4 trials of 1, 3, 9 and 27
    epochs. The unit of training is an epoch, so nothing is halved unless `epochs` is at least eta.
    The other arguments are those of `grid`.

    Source: Li, Jamieson, DeSalvo, Rostamizadeh & Talwalkar 2018, algorithm 1. There each rung
    trains from scratch; here survivors continue, which gives the same for less training.
    """
    key, (epochs, eta) = _check(key, epochs=epochs, eta=eta)
    brackets = list(hyperband_brackets(epochs, eta))
    settings = draw(space, key, sum(rungs[0][0] for rungs in brackets))
    options = {"algorithm": "hyperband", "epochs": epochs, "eta": eta}
    return run_brackets(
        problem, space, settings, brackets, key=key, path=path, report=report, **options
    )


def hyperband_brackets(epochs: int, eta: int) -> Iterator[Rungs]:
    """The brackets of algorithm 1, starting with the one with the most trials."""
    last = _power(epochs, eta)  # s_max
    for s in range(last, -1, -1):
        trials = -(-(last + 1) * eta**s // (s + 1))  # ceil(B / R * eta^s / (s + 1))
        yield halvings(trials, epochs, eta, s)


def halvings(trials: int, epochs: int, eta: int, s: int) -> Rungs:
    """The s + 1 rungs of a bracket: floor(n / eta^i) trials for floor(R eta^(i - s)) epochs."""
    return [(trials // eta**i, epochs // eta ** (s - i)) for i in range(s + 1)]


def retrain(problem: Problem, trial: Trial, *, key: Key) -> FitResult:
    """Train a trial of a search again, alone: the same network up to rounding.

    To evaluate it, its train step is `problem.train_step_for(problem.structure(trial.setting))` and
    its hyperparameters are `problem.traced(trial.setting)`.

    Args:
      problem: the problem of the search.
      trial: a trial of the search, such as `results.best`.
      key: the key of the search.

    Raises:
      NonFiniteLoss: the trial diverges, as it may have in the search.
    """
    key = single_key("retrain", key)
    return fit(
        problem.train_step_for(problem.structure(trial.setting)),
        problem.train,
        key=trial_key(key, trial.number),
        epochs=trial.epochs,
        batch_size=problem.batch_size,
        hparams=problem.traced(trial.setting),
    )


def _single_rungs(trials: int, epochs: int, max_parallel: int) -> list[Rungs]:
    """Brackets of a single rung, of at most `max_parallel` trials each."""
    starts = range(0, trials, max_parallel)
    return [[(min(max_parallel, trials - start), epochs)] for start in starts]


def _power(number: int, base: int) -> int:
    """The exponent of the largest power of `base` that is at most `number`."""
    exponent = 0
    while base ** (exponent + 1) <= number:
        exponent += 1
    return exponent


def _check(key: Any, **counts: Any) -> tuple[Key, list[int]]:
    """The key and the counts; refuses counts that are not positive integers."""
    integers = {name: count("a search", name, value) for name, value in counts.items()}
    if integers.get("eta") == 1:  # would keep all trials in every rung
        raise RunError("a search expects eta to be an integer of at least 2, but got 1; 3 is usual")
    return single_key("a search", key), list(integers.values())
