"""A study in Optuna's storage: the trials that a process takes from it, and their scores."""

import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxnets.errors import RunError
from jaxnets.messages import printable
from jaxnets.training.report import to_json
from jaxnets.training.search.numbers import DIVERGED, NUMBER, STRATEGY, WORKER, holders, numbered
from jaxnets.training.search.results import Results, Trial, check_same_search
from jaxnets.training.search.space import Distribution, Setting

SEARCH = "search"  # the study's attribute with everything that decides its trials


class SharedStudy:
    """One process's access to the trials of a search that several processes share.

    Args:
      study: an Optuna study.
      results: the results, without trials.
      trials: the number of trials.
      stale_seconds: another process without a heartbeat for this many seconds counts as dead.
    """

    def __init__(self, study: Any, results: Results, trials: int, stale_seconds: float):
        self.study, self.results, self.trials = study, results, trials
        self.stale_seconds, self.worker = stale_seconds, uuid.uuid4().hex[:12]
        self.distributions = {n: as_optuna(d) for n, d in results.space.items()}
        self.claimed: dict[int, Any] = {}  # the trials that this process trains, by their numbers
        self._heartbeats: dict[int, tuple[Any, float]] = {}  # the last ones, and when they changed

    def claim(self, most: int) -> dict[int, Setting]:
        """Claim up to `most` trials that no other process has; return their settings by number."""
        self._retry_lost()
        while len(self.claimed) < most and self._has_more():
            trial = self.study.ask(self.distributions)
            trial.set_user_attr(WORKER, self.worker)
            number = next(n for n, t in numbered(self.study) if t.number == trial.number)
            holder = holders(self.study, self.trials).get(number)
            if holder is None or holder.number != trial.number:  # another process was faster
                self._fail(trial)
            else:
                self.claimed[number] = trial
        return {number: self._setting(trial) for number, trial in self.claimed.items()}

    def report(self, number: int, score: float, epoch: int, is_last: bool, **ends: Any) -> bool:
        """Report a score after an epoch; return whether the trial continues.

        `ends` are the attributes that the trial has at its end: diverged and strategy.
        """
        trial, has_score = self.claimed[number], score == score
        if has_score:
            trial.report(score, epoch)
            if not is_last and not trial.should_prune():
                return True
        trial.set_user_attr(STRATEGY, ends[STRATEGY])
        if not has_score:
            trial.set_user_attr(DIVERGED, ends[DIVERGED])
        state = self._state("FAIL" if not has_score else "COMPLETE" if is_last else "PRUNED")
        values = score if has_score and is_last else None
        self.study.tell(trial, values, state=state, skip_if_finished=True)
        del self.claimed[number]
        return False

    @contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Send heartbeats from a thread; at the end of the block, give back unfinished trials."""
        over = threading.Event()

        def beat() -> None:
            beats = 0
            while not over.wait(self.stale_seconds / 4):
                self.study.set_user_attr(self.worker, beats := beats + 1)

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            for trial in self.claimed.values():
                self._fail(trial)

    def is_over(self) -> bool:
        """Whether every trial has ended."""
        trials = holders(self.study, self.trials).values()
        return len(trials) == self.trials and all(t.state.is_finished() for t in trials)

    def outcome(self) -> Results:
        """The results of the trials that have ended."""
        ended = holders(self.study, self.trials).items()
        return self.results.with_trials(
            self._as_trial(number, trial) for number, trial in ended if trial.state.is_finished()
        )

    def _has_more(self) -> bool:
        trials = list(numbered(self.study))
        fresh = sum(NUMBER not in trial.user_attrs for _, trial in trials)
        return fresh < self.trials or any(t.state.name == "WAITING" for _, t in trials)

    def _retry_lost(self) -> None:
        """Fail the trials of dead processes, and enqueue the trials that no process holds."""
        for trial in self.study.get_trials(deepcopy=False, states=(self._state("RUNNING"),)):
            worker = trial.user_attrs.get(WORKER)
            sign, now = (worker, self.study.user_attrs.get(worker)), time.monotonic()
            before, since = self._heartbeats.get(trial.number, (None, now))
            if before != sign:  # by this process's clock, since those of others may differ
                self._heartbeats[trial.number] = sign, now
            elif worker != self.worker and now - since > self.stale_seconds:
                self._fail(trial.number)
        held = holders(self.study, self.trials)
        lost = {n: t for n, t in numbered(self.study) if n < self.trials and n not in held}
        for number, trial in lost.items():
            self.study.enqueue_trial(trial.params, user_attrs={NUMBER: number})

    def _fail(self, trial: Any) -> None:
        self.study.tell(trial, state=self._state("FAIL"), skip_if_finished=True)

    def _setting(self, trial: Any) -> Setting:
        values = {name: trial.params[name] for name in self.results.space}
        return {name: from_study(self.results.space[name], v) for name, v in values.items()}

    def _as_trial(self, number: int, trial: Any) -> Trial:
        """The `Trial` of a trial in Optuna."""
        epochs = max(trial.intermediate_values, default=0)
        score = trial.intermediate_values[epochs] if trial.state.name != "FAIL" else float("nan")
        diverged = bool(trial.user_attrs.get(DIVERGED))
        strategy = trial.user_attrs[STRATEGY]
        return Trial(number, 0, self._setting(trial), epochs, score, diverged, strategy)

    @staticmethod
    def _state(name: str) -> Any:
        from optuna.trial import TrialState

        return TrialState[name]


def open_study(
    storage: Any, name: str, results: Results, settings: Sequence[Setting], **choices: Any
) -> Any:
    """The Optuna study of this name in a storage, which is created if there is none.

    Raises:
      RunError: Optuna is not installed, or the study is of another search.
    """
    try:
        import optuna
    except ImportError as error:
        raise RunError(
            "search expects Optuna, which shares trials between processes, but it is not "
            "installed; pip install 'jaxnets[search]'"
        ) from error
    from jaxnets.training.search.sampler import SettingsSampler

    choices["sampler"] = choices["sampler"] or SettingsSampler(settings)
    choices["pruner"] = choices["pruner"] or optuna.pruners.NopPruner()
    direction = "minimize" if results.smaller_is_better else "maximize"
    study = optuna.create_study(
        storage=_as_storage(storage),
        study_name=name,
        direction=direction,
        load_if_exists=True,
        **choices,
    )
    header = to_json(results.header)
    saved = study.user_attrs.get(SEARCH)
    if saved is None:
        study.set_user_attr(SEARCH, header)
    else:
        check_same_search(saved, header, f"the study {printable(name)} in {printable(storage)}")
    return study


def _as_storage(storage: Any) -> Any:
    """Optuna's storage for the path of a journal; anything else, such as a URL, unchanged."""
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    if isinstance(storage, Path) or (isinstance(storage, str) and "://" not in storage):
        return JournalStorage(JournalFileBackend(str(Path(storage).absolute())))
    return storage


def as_optuna(distribution: Distribution) -> Any:
    """The distribution in Optuna's types."""
    from optuna import distributions

    from jaxnets.training.search.sampler import in_study

    if distribution.kind == "choice":
        return distributions.CategoricalDistribution(tuple(map(in_study, distribution.arguments)))
    low, high = distribution.arguments
    if distribution.kind == "integers":
        return distributions.IntDistribution(low, high)
    return distributions.FloatDistribution(low, high, log=distribution.kind == "log_uniform")


def from_study(distribution: Distribution, value: Any) -> Any:
    """The value of a setting from what Optuna stored."""
    if distribution.kind != "choice" or not isinstance(value, str):
        return value
    from jaxnets.training.search.sampler import in_study

    return next(option for option in distribution.arguments if in_study(option) == value)
