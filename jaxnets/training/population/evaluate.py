"""Evaluation and prediction with every member of a population."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxnets.metrics import Metric
from jaxnets.training.arguments import data_as_pair
from jaxnets.training.check import check_strategy, check_train_state
from jaxnets.training.evaluate import evaluate_members
from jaxnets.training.predict import predict_members, probabilities
from jaxnets.training.runners import Members, Strategy
from jaxnets.training.train_step import Hparams


@data_as_pair
def evaluate_population(
    train_step: Any,
    train_states: Any,
    split: Any,
    *,
    hparams: Hparams = None,
    metrics: Mapping[str, Metric] | None = None,
    strategy: Strategy = "vmap",
) -> dict[str, np.ndarray]:
    """Each metric of each member over the whole split, as arrays (N, ...) by name.

    Like `evaluate`, with a leading axis N on `train_states` and `hparams`.
    """
    where = "evaluate_population"
    check_strategy(where, strategy)
    check_train_state(where, train_states)
    runner = Members(_count_members(train_states), strategy)
    options = {"where": where, "metrics": metrics}
    return evaluate_members(train_step, train_states, split, hparams, runner, **options)


def predict_proba_population(
    train_step: Any,
    train_states: Any,
    x: Any,
    *,
    hparams: Hparams = None,
    strategy: Strategy = "vmap",
) -> np.ndarray:
    """Each member's probability of each class, (N, n, classes); of class 1 for a single logit."""
    where = "predict_proba_population"
    check_strategy(where, strategy)
    check_train_state(where, train_states)
    runner, state = Members(_count_members(train_states), strategy), (train_states, hparams)
    return predict_members(probabilities, train_step, state, x, runner, where=where)


def _count_members(train_states: Any) -> int:
    return len(jax.tree.leaves(train_states)[0])
