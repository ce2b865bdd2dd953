"""Evaluation and prediction of every member, in the blocks that a single model is evaluated in."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.arrays import as_rows, as_split
from jaxnets.layer import Array, Layer, Params, State
from jaxnets.metrics import Metric, batch_sums
from jaxnets.training.arguments import RunError, check_metrics, one_split
from jaxnets.training.check import check_model, check_strategy, explained
from jaxnets.training.course import Strategy
from jaxnets.training.evaluate import (
    BLOCK,
    blocks,
    check_values,
    probabilities,
    undefined_is_no_fault,
)
from jaxnets.training.population.members import over_members
from jaxnets.training.update import Hyper, build

Model = Layer | Callable[[Hyper], Layer]


@one_split
def evaluate_population(
    model: Model,
    params: Params,
    state: State,
    split: tuple[Any, Any],
    metrics: Mapping[str, Metric],
    *,
    hypers: Hyper = None,
    strategy: Strategy = "vmap",
) -> dict[str, np.ndarray]:
    """Each metric of each member over the whole split, exact; arrays (N, ...) by name.

    As `evaluate`, with a leading axis N on `params`, `state` and `hypers`.
    """
    where = "evaluate_population"
    check_model(where, model, params, of_hyper=True)
    check_strategy(where, strategy)
    metrics = check_metrics(where, metrics)
    x, y = as_split(where, "split", split, RunError)
    named, members = tuple(metrics.items()), (params, state, hypers)
    forward = _first_member(model, members)
    with explained(where, forward, x):
        check_values(where, forward, x, y, metrics, BLOCK)
        sums = [
            _block_sums(model, named, strategy, members, block) for block in blocks(BLOCK, x, y)
        ]
    return member_values(metrics, jax.tree.map(lambda *parts: jnp.stack(parts).sum(0), *sums))


def member_values(metrics: Mapping[str, Metric], sums: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Each metric's value for each member, from sums with the leading axis N."""
    with undefined_is_no_fault():
        return {name: np.asarray(jax.vmap(m.value)(sums[name])) for name, m in metrics.items()}


def predict_proba_population(
    model: Model,
    params: Params,
    state: State,
    x: Any,
    *,
    hypers: Hyper = None,
    strategy: Strategy = "vmap",
) -> np.ndarray:
    """Each member's probability of each class, (N, n, classes); of class 1 for a single logit."""
    where, members = "predict_proba_population", (params, state, hypers)
    check_model(where, model, params, of_hyper=True)
    check_strategy(where, strategy)
    x = as_rows(where, "the inputs", x, RunError)
    with explained(where, _first_member(model, members), x):
        found = [
            _block_probabilities(model, strategy, members, block) for block, _ in blocks(BLOCK, x)
        ]
    return np.concatenate(found, axis=1)[:, : len(x)]


def _first_member(model: Model, members: Any) -> Callable[[Any], Any]:
    """The shape of the first member's outputs, as a function of that of the inputs."""

    def forward(members: Any, x: Array) -> Array:
        params, state, hyper = jax.tree.map(lambda leaf: leaf[0], members)
        return build(model, hyper).apply(params, state, x)[0]

    return partial(jax.eval_shape, forward, members)


@partial(jax.jit, static_argnums=(0, 1, 2))
def _block_sums(
    model: Model, metrics: tuple, strategy: Strategy, members: Any, block: Any
) -> dict[str, Any]:
    def member(own: Any, block: Any) -> dict[str, Any]:
        (params, state, hyper), (x, y, weights) = own, block
        outputs, _ = build(model, hyper).apply(params, state, x)
        return batch_sums(metrics, outputs, y, weights)

    return over_members(member, strategy, BLOCK)(members, block)


@partial(jax.jit, static_argnums=(0, 1))
def _block_probabilities(model: Model, strategy: Strategy, members: Any, x: Array) -> Array:
    def member(own: Any, x: Array) -> Array:
        params, state, hyper = own
        return probabilities(build(model, hyper).apply(params, state, x)[0])

    return over_members(member, strategy, BLOCK)(members, x)
