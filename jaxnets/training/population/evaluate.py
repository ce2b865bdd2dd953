"""Evaluation and prediction of every member, in the blocks that a single model is evaluated in."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxnets.metrics import Metric
from jaxnets.training.evaluate import evaluate_members, predict_members, probabilities
from jaxnets.training.runners import Members, Strategy
from jaxnets.training.train_step import Hparams


def evaluate_population(
    train_step: Any,
    train_states: Any,
    split: Any,
    *,
    hparams: Hparams = None,
    metrics: Mapping[str, Metric] | None = None,
    strategy: Strategy = "vmap",
) -> dict[str, np.ndarray]:
    """Each metric of each member over the whole split, exact; arrays (N, ...) by name.

    As `evaluate`, with a leading axis N on `train_states` and `hparams`.
    """
    runner = Members(_count(train_states), strategy)
    return evaluate_members(train_step, train_states, split, hparams, runner, metrics=metrics)


def predict_proba_population(
    train_step: Any,
    train_states: Any,
    x: Any,
    *,
    hparams: Hparams = None,
    strategy: Strategy = "vmap",
) -> np.ndarray:
    """Each member's probability of each class, (N, n, classes); of class 1 for a single logit."""
    runner = Members(_count(train_states), strategy)
    return predict_members(probabilities, train_step, (train_states, hparams), x, runner)


def _count(train_states: Any) -> int:
    return len(jax.tree.leaves(train_states)[0])
