"""`search`: one search by any number of processes, which share its trials through Optuna."""

import time
from typing import Any

from jaxnets.errors import RunError
from jaxnets.layer import Key
from jaxnets.training.arguments import count, single_key
from jaxnets.training.exceptions import Interrupted
from jaxnets.training.report import Reporter, silent
from jaxnets.training.resume import identity
from jaxnets.training.search.brackets import groups_of, scores_of, train_group
from jaxnets.training.search.problem import Problem, check_problem
from jaxnets.training.search.results import Results
from jaxnets.training.search.space import Setting, Space, draw
from jaxnets.training.search.study import SharedStudy, open_study

WAIT_SECONDS = 0.5  # between two polls of the trials of other processes


def search(
    problem: Problem,
    space: Space,
    *,
    key: Key,
    trials: int,
    epochs: int,
    storage: Any,
    name: str = "search",
    max_parallel: int = 16,
    sampler: Any = None,
    pruner: Any = None,
    stale_seconds: float = 60.0,
    report: Reporter = silent,
) -> Results:
    """Search together with every process that makes the same call, on this and other machines.

    Each process takes up to `max_parallel` trials at a time, trains them as one population, and
    stores their scores after each epoch. It returns when all trials have ended; those of a process
    that died are trained again by another one. A process may join or leave at any time. Trials are
    numbered and seeded as in `random_search`. Needs `pip install "jaxnets[search]"`.

    Args:
      problem: the train step, the data and the objective.
      space: distributions by name.
      key: a random key, as in `random_search`.
      trials: the number of trials of all processes together.
      epochs: the number of epochs per trial.
      storage: the path of Optuna's journal file, which all processes can write to, as on NFS; or
        what `optuna.create_study` takes, such as the URL of a database.
      name: the name of the study in the storage.
      max_parallel: the maximum number of trials per program; they must fit into the memory.
      sampler: an Optuna sampler; by default the settings of `random_search` with the same key.
      pruner: an Optuna pruner, which ends trials early by their scores; by default, it ends none.
      stale_seconds: a process that has sent no heartbeat for this many seconds counts as dead.
      report: called with the `Progress` of each population.

    Raises:
      RunError: Optuna is not installed, an argument does not fit, or the study is of another
        search; all are checked before training.
      Interrupted: Ctrl-C or SIGTERM; it holds the `Results` of the trials that have ended. Other
        processes can take the trials of this one immediately.

    Source: Akiba, Sano, Yanase, Ohta & Koyama 2019, Optuna.
    """
    where, key = "search", single_key("search", key)
    counts = {"trials": trials, "epochs": epochs, "max_parallel": max_parallel}
    trials, epochs, most = (count(where, n, value) for n, value in counts.items())
    _check_stale(stale_seconds)
    settings = draw(space, key, trials)
    check_problem(problem, space, settings)
    options = {"batch_size": problem.batch_size, "algorithm": "search", "trials": trials}
    options |= {"epochs": epochs}
    identified = identity(problem.train, problem.validation, None, key=key, **options)
    results = Results((), problem.objective, problem.smaller_is_better, dict(space), identified)
    study = open_study(storage, name, results, settings, sampler=sampler, pruner=pruner)
    shared = SharedStudy(study, results, trials, stale_seconds)
    with shared.heartbeat():
        while not shared.is_over():
            if claimed := shared.claim(most):
                try:
                    _train(problem, shared, claimed, key, epochs, report)
                except Interrupted as interrupted:
                    raise Interrupted(shared.outcome(), interrupted.signal) from None
            else:
                time.sleep(WAIT_SECONDS)
    return shared.outcome()


def _train(
    problem: Problem,
    shared: SharedStudy,
    settings: dict[int, Setting],
    key: Key,
    epochs: int,
    report: Reporter,
) -> None:
    """Train trials as populations, epoch by epoch, and report their scores after each."""
    for group in groups_of(problem, settings, key, {}):
        for epoch in range(1, epochs + 1):
            group = train_group(problem, group, epoch, report)
            assert group.strategy is not None  # measured by fit_population
            scores = scores_of(problem, group, group.strategy)
            continues = set()
            for number, score, diverged in zip(group.numbers, scores, group.diverged, strict=True):
                ends = {"diverged": diverged, "strategy": group.strategy}
                if shared.report(number, score, epoch, epoch == epochs, **ends):
                    continues.add(number)
            if not continues:
                break
            group = group.select(continues)


def _check_stale(seconds: Any) -> None:
    number = isinstance(seconds, int | float) and seconds is not True
    if not (number and 0 < seconds < float("inf")):
        raise RunError(
            f"search expects stale_seconds to be a positive number, but got {seconds!r}; 60 is "
            "usual, and it must be longer than a process may be suspended"
        )
