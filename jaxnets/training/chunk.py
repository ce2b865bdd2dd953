"""Many steps as one compiled program; the loop and the train state stay on the device."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxnets.keys import where
from jaxnets.layer import Array, Key
from jaxnets.lowering import compiler_options
from jaxnets.training.divergence import all_finite
from jaxnets.training.placement import out_shardings
from jaxnets.training.programs import program
from jaxnets.training.runners import Runner
from jaxnets.training.source import Reader
from jaxnets.training.train_step import Batch, Hparams, Sums, resolve

CAPACITY = 4096  # maximum number of steps per chunk


def chunk_program(
    train_step: Any,
    train_state: Any,
    runner: Runner,
    reader: Reader,
    skip_nonfinite: bool,
    mesh: Mesh | None = None,
) -> Any:
    """The jitted function of `make_chunk`, which donates the train state.

    Both bounds of its loop are traced, so that one executable serves all lengths up to `CAPACITY`.
    On a mesh, the train state keeps its shardings, and every device has the sums and objectives.
    """
    options = compiler_options(getattr(train_state, "params", train_state))
    return program(
        train_step,
        make_chunk,
        *(runner, reader, skip_nonfinite, tuple(options.items())),
        donate_argnums=0,
        compiler_options=options,
        **out_shardings(mesh, train_state),
    )


def make_chunk(
    step: Callable[[], Any],
    runner: Runner,
    reader: Reader,
    skip_nonfinite: bool,
    options: tuple,
) -> Callable[..., Any]:
    """A function that trains each of the runner's models from step `start` to step `stop`.

    It returns `(train_state, sums, objectives)`: the steps' sums are added to `sums` one by one, so
    that the rounding does not depend on the length of the chunks. `objectives` has a trailing axis
    of `CAPACITY` with each step's objective, and 0 after the last.

    With `skip_nonfinite`, a step whose objective or train state is not finite is skipped: it counts
    as a step, adds nothing to the sums, and its objective is NaN.
    """
    del options  # a part of the cache key: other compiler options make another program

    def member(per_member: Any, shared: Any) -> tuple[Any, Sums, Array]:
        train_state, sums, hparams, member_key = per_member
        arrays, shared_key, start, stop = shared

        def body(number: Array, batch: Batch, carry: tuple) -> tuple:
            before, sums, objectives = carry
            counts = batch.weights.sum() > 0 if reader.weighted else None
            if counts is not None:  # a batch of weight 0 is skipped
                weights = jnp.where(counts, batch.weights, 1)
                batch = batch._replace(weights=weights)
            after, step_sums = step_program(step())(before, batch, hparams)
            if counts is not None:
                after, step_sums = _skip_unless(counts, before, after, step_sums, 0.0)
            if skip_nonfinite:
                finite = jnp.isfinite(step_sums["objective"]) & all_finite(after)
                after, step_sums = _skip_unless(finite, before, after, step_sums, jnp.nan)
            objectives = objectives.at[number - start].set(step_sums.pop("objective"))
            return after, jax.tree.map(jnp.add, sums, step_sums), objectives

        key = member_key if shared_key is None else shared_key
        carry = (train_state, sums, jnp.zeros(CAPACITY))
        return reader.loop(arrays, key, start, stop, body, carry)

    def chunk(
        train_state: Any,
        sums: Sums,
        hparams: Hparams,
        member_keys: Key | None,
        arrays: Any,
        shared_key: Key | None,
        start: Array,
        stop: Array,
    ) -> tuple[Any, Sums, Array]:
        train_members = runner.over_members(member, reader.epochs.batch_size)
        per_member = (train_state, sums, hparams, member_keys)
        return train_members(per_member, (arrays, shared_key, start, stop))

    return chunk


def step_program(train_step: Any) -> Any:
    """The jitted train step, inlined; one trace serves shape inference and the chunk."""
    return program(train_step, _make_step, inline=True)


def _make_step(step: Callable[[], Any]) -> Callable[..., Any]:
    def call(train_state: Any, batch: Batch, hparams: Hparams) -> tuple[Any, Sums]:
        train_step, hparams = resolve(step(), hparams)
        return train_step(train_state, batch, hparams)

    return call


def _skip_unless(
    condition: Array, before: Any, after: Any, sums: Sums, objective: float
) -> tuple[Any, Sums]:
    """The step's result if `condition` holds; else the old train state, no sums and `objective`.

    A train state's `step` counts skipped steps too, so that the next step uses other random keys.
    """
    state = jax.tree.map(lambda new, old: where(condition, new, old), after, before)
    if hasattr(after, "step"):
        state = state._replace(step=after.step)
    step_sums = jax.tree.map(lambda value: jnp.where(condition, value, 0), sums)
    return state, step_sums | {"objective": jnp.where(condition, sums["objective"], objective)}
