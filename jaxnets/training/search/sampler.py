"""A sampler for Optuna that gives trial n the n-th setting drawn from a space."""

from collections.abc import Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from jaxnets.training.search.numbers import numbered
from jaxnets.training.search.space import Setting


class SettingsSampler(BaseSampler):
    """Random search whose settings do not depend on which process takes which trial."""

    def __init__(self, settings: Sequence[Setting]):
        self.settings = settings

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict:
        """Empty, so that every value is sampled independently."""
        return {}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict) -> dict:
        """Empty, so that every value is sampled independently."""
        return {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """The value of this name in the trial's setting."""
        number = next(n for n, each in numbered(study) if each.number == trial.number)
        setting = self.settings[min(number, len(self.settings) - 1)]  # one too many is discarded
        return in_study(setting[param_name])


def in_study(value: Any) -> Any:
    """The value of a setting as Optuna stores it, which has no tuples."""
    return repr(value) if isinstance(value, tuple) else value
