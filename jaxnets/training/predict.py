"""Prediction in padded blocks, as in `evaluate`: compiled once for any number of rows."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxnets.arrays import Examples, as_tree
from jaxnets.errors import RunError
from jaxnets.keys import clone_keys
from jaxnets.layer import Array
from jaxnets.metrics import classes
from jaxnets.metrics.classification import is_single_logit, single_logit
from jaxnets.metrics.per_example import at_least_float32
from jaxnets.sharding import ShardingPlan, mesh_in, to_host, use_mesh
from jaxnets.training.arguments import count
from jaxnets.training.check import check_train_state, check_train_step
from jaxnets.training.evaluate import BLOCK, blocks, first_outputs
from jaxnets.training.labels import explain_input_errors
from jaxnets.training.placement import place_state
from jaxnets.training.programs import program
from jaxnets.training.runners import OneModel, Runner
from jaxnets.training.train_step import Hparams, resolve


def probabilities(outputs: Array) -> Array:
    """The probability of each class, (n, classes); of class 1, (n,), for a single logit."""
    outputs = at_least_float32(outputs)
    if is_single_logit(outputs):
        return jax.nn.sigmoid(single_logit(outputs))
    return jax.nn.softmax(outputs)


def predict_outputs(
    train_step: Any,
    train_state: Any,
    x: Any,
    *,
    hparams: Hparams = None,
    block_size: int = BLOCK,
    sharding: ShardingPlan | None = None,
) -> np.ndarray:
    """The raw outputs of the model, (n, ...): logits, or the predicted values in regression."""
    state = (place_state("predict", sharding, train_state), hparams)
    return predict_members(jax.nn.identity, train_step, state, x, OneModel(), block_size)


def predict_proba(
    train_step: Any,
    train_state: Any,
    x: Any,
    *,
    hparams: Hparams = None,
    block_size: int = BLOCK,
    sharding: ShardingPlan | None = None,
) -> np.ndarray:
    """The probability of each class, (n, classes); of class 1, (n,), for a single logit."""
    state = (place_state("predict", sharding, train_state), hparams)
    return predict_members(probabilities, train_step, state, x, OneModel(), block_size)


def predict(
    train_step: Any,
    train_state: Any,
    x: Any,
    *,
    hparams: Hparams = None,
    block_size: int = BLOCK,
    sharding: ShardingPlan | None = None,
) -> np.ndarray:
    """The most probable class of each row, int32 (n,)."""
    state = (place_state("predict", sharding, train_state), hparams)
    predictions = predict_members(classes, train_step, state, x, OneModel(), block_size)
    return predictions.astype(np.int32)


def predict_members(
    transform: Callable[[Array], Array],
    train_step: Any,
    state: tuple[Any, Hparams],
    x: Any,
    runner: Runner,
    block_size: int = BLOCK,
    *,
    where: str = "predict",
) -> np.ndarray:
    """The outputs after `transform`; `state` is a pair of the train state and the hparams.

    For a population, all of them have a leading axis of members.
    """
    check_train_step(where, train_step)
    check_train_state(where, state[0])
    block_size = count(where, "block_size", block_size)
    x, state = as_tree(where, "the inputs", x, RunError), clone_keys(state)
    block_outputs = program(train_step, _make_block_outputs, runner, transform)
    axis = 0 if isinstance(runner, OneModel) else 1
    mesh, split = mesh_in(state[0]), Examples(x, None)
    explained = explain_input_errors(where, first_outputs(train_step, state, runner), x)
    with use_mesh(mesh), explained:
        outputs = [
            to_host(block_outputs(state, block.x)) for block in blocks(block_size, split, mesh)
        ]
    rows = len(jax.tree.leaves(x)[0])
    return np.concatenate(outputs, axis).take(np.arange(rows), axis)


def _make_block_outputs(
    step: Callable[[], Any], runner: Runner, transform: Callable[[Array], Array]
) -> Callable[..., Array]:
    def member(state: Any, x: Any) -> Array:
        train_state, hparams = state
        train_step, _ = resolve(step(), hparams)
        if not hasattr(train_step, "predict_batch"):
            raise RunError(
                f"to predict, a {type(train_step).__name__} needs predict_batch(train_state, x) -> "
                "outputs; see Trainable"
            )
        return transform(train_step.predict_batch(train_state, x))

    def block_outputs(state: Any, x: Any) -> Array:
        return runner.over_members(member, len(jax.tree.leaves(x)[0]))(state, x)

    return block_outputs
