"""Grid, random search, successive halving and Hyperband: each is a list of brackets."""

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
      problem: what is trained, and by what it is judged.
      space: distributions by name, none of them continuous.
      key: decides each trial's weights, order and chance.
      epochs: how long every trial is trained.
      max_parallel: how many trials are trained in one program, at most; the memory must hold them.
      path: a JSON-lines file of the results, written whenever trials are finished. Where it is
        there already, and of this search, what it has is not done again.
      report: called with the `Progress` of each population.

    Raises:
      RunError: anything that does not fit, said before anything is trained.
      Interrupted: Ctrl-C or SIGTERM; it holds the `Results` so far.
    """
    key, (epochs, max_parallel) = _checked(key, epochs=epochs, max_parallel=max_parallel)
    settings = product(space)
    brackets = _at_once(len(settings), epochs, max_parallel)
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
    """Try `trials` settings drawn from the space; the other arguments are those of `grid`.

    A search with the same key and more trials begins with the same ones.

    Source: Bergstra & Bengio 2012, Random search for hyper-parameter optimization.
    """
    key, (trials, epochs, max_parallel) = _checked(
        key, trials=trials, epochs=epochs, max_parallel=max_parallel
    )
    brackets = _at_once(trials, epochs, max_parallel)
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
    """Train `trials` settings a little, the best 1/eta of them eta times as long, and so on.

    One in the end is trained for all `epochs`. The survivors train on from where they stand, so
    the epochs of a trial are counted once. It is a single bracket, which is done again from its
    start where it was cut short. The other arguments are those of `grid`.

    Source: Jamieson & Talwalkar 2016, Non-stochastic best arm identification.
    """
    key, (trials, epochs, eta) = _checked(key, trials=trials, epochs=epochs, eta=eta)
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
    """Successive halving from several starts: many trials and little training, to few and all.

    With `epochs` R = 27 and eta 3 its brackets start 27, 12, 6 and 4 trials for 1, 3, 9 and 27
    epochs. The epoch is the unit of training: `epochs` must be at least eta for there to be
    anything to halve. The other arguments are those of `grid`.

    Source: Li, Jamieson, DeSalvo, Rostamizadeh & Talwalkar 2018, algorithm 1. There each rung
    trains from the start; here the survivors train on, which costs less for the same.
    """
    key, (epochs, eta) = _checked(key, epochs=epochs, eta=eta)
    brackets = list(hyperband_brackets(epochs, eta))
    settings = draw(space, key, sum(rungs[0][0] for rungs in brackets))
    options = {"algorithm": "hyperband", "epochs": epochs, "eta": eta}
    return run_brackets(
        problem, space, settings, brackets, key=key, path=path, report=report, **options
    )


def hyperband_brackets(epochs: int, eta: int) -> Iterator[Rungs]:
    """Algorithm 1's brackets, from the one with the most trials on."""
    last = _power(epochs, eta)  # s_max
    for s in range(last, -1, -1):
        trials = -(-(last + 1) * eta**s // (s + 1))  # ceil(B / R * eta^s / (s + 1))
        yield halvings(trials, epochs, eta, s)


def halvings(trials: int, epochs: int, eta: int, s: int) -> Rungs:
    """The s + 1 rungs of a bracket: floor(n / eta^i) trials for floor(R eta^(i - s)) epochs."""
    return [(trials // eta**i, epochs // eta ** (s - i)) for i in range(s + 1)]


def retrain(problem: Problem, trial: Trial, *, key: Key) -> FitResult:
    """Train a trial of a search alone: the network that it was then, up to rounding.

    Its hyperparameters for evaluating are `problem.traced(trial.setting)`, its train step is
    `problem.train_step_for(problem.structure(trial.setting))`.

    Args:
      problem: the search's.
      trial: as in `results.best`.
      key: the search's.

    Raises:
      NonFiniteLoss: it diverged, as it may have in the search.
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


def _at_once(trials: int, epochs: int, max_parallel: int) -> list[Rungs]:
    """Brackets of one rung."""
    starts = range(0, trials, max_parallel)
    return [[(min(max_parallel, trials - start), epochs)] for start in starts]


def _power(number: int, base: int) -> int:
    """The largest power of `base` that is at most `number`, as its exponent."""
    exponent = 0
    while base ** (exponent + 1) <= number:
        exponent += 1
    return exponent


def _checked(key: Any, **counts: Any) -> tuple[Key, list[int]]:
    """The key and the counts, or an error that says which of them is none."""
    numbers = {name: count("a search", name, value) for name, value in counts.items()}
    if numbers.get("eta") == 1:  # a rung that keeps all would never end
        raise RunError("a search expects eta to be an integer of at least 2, but got 1; 3 is usual")
    return single_key("a search", key), list(numbers.values())
