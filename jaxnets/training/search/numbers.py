"""The numbers of the trials in a study that several processes share.

A trial whose process died is failed and enqueued again, which gives it a new number in Optuna. It
keeps the number that decides its setting and its random key, in the attribute "number".
"""

import itertools
from collections.abc import Iterator
from typing import Any

NUMBER, WORKER, DIVERGED, STRATEGY = "number", "worker", "diverged", "strategy"


def numbered(study: Any) -> Iterator[tuple[int, Any]]:
    """Yields (number in the search, trial) for every trial of the study."""
    fresh = itertools.count()
    for trial in study.get_trials(deepcopy=False):
        number = trial.user_attrs.get(NUMBER)
        yield (next(fresh) if number is None else number), trial


def holders(study: Any, trials: int) -> dict[int, Any]:
    """The first trial of each number, except failed ones that did not diverge."""
    first: dict[int, Any] = {}
    for number, trial in numbered(study):
        lost = trial.state.name == "FAIL" and DIVERGED not in trial.user_attrs
        if number < trials and not lost:
            first.setdefault(number, trial)
    return first
