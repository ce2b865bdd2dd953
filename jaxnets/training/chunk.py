"""Many steps as one compiled program: the loop and the train state are on the device."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.keys import where
from jaxnets.layer import Array, Key
from jaxnets.lowering import compiler_options
from jaxnets.training.nonfinite import all_finite
from jaxnets.training.programs import program
from jaxnets.training.runners import Runner
from jaxnets.training.source import Reader
from jaxnets.training.train_step import Batch, Hparams, Sums, resolve

CAPACITY = 4096  # steps a chunk can hold


def chunk_program(
    train_step: Any, train_state: Any, runner: Runner, reader: Reader, skip_nonfinite: bool
) -> Any:
    """The program of a chunk; it takes what `make_chunk` says, and the train state is donated.

    Both bounds of its loop are traced, so one executable serves every length up to `CAPACITY`.
    """
    options = compiler_options(getattr(train_state, "params", train_state))
    return program(
        train_step,
        make_chunk,
        *(runner, reader, skip_nonfinite, tuple(options.items())),
        donate_argnums=0,
        compiler_options=options,
    )


def make_chunk(
    step: Callable[[], Any],
    runner: Runner,
    reader: Reader,
    skip_nonfinite: bool,
    options: tuple,
) -> Callable[..., Any]:
    """A function that steps from step `start` until step `stop`, for each of the runner's models.

    It returns `(train_state, sums, objectives)`: the sums are `sums` and those of the steps, added
    step by step, so that they round the same however long the chunks are, and `objectives`, a
    trailing axis of `CAPACITY`, holds each step's objective, and 0 past the last.

    Where `skip_nonfinite`, a step whose objective or result is not all finite is left out: it
    counts as a step, adds nothing to the sums, and its objective is NaN.
    """
    del options  # it tells programs apart that are compiled with different ones

    def member(own: Any, shared: Any) -> tuple[Any, Sums, Array]:
        (train_state, sums, hparams, own_key), (arrays, shared_key, start, stop) = own, shared

        def body(number: Array, batch: Batch, carry: tuple) -> tuple:
            before, sums, objectives = carry
            counts = batch.weights.sum() > 0 if reader.weighted else None
            if counts is not None:  # the step of a batch that does not count is left out
                weights = jnp.where(counts, batch.weights, 1)
                batch = batch._replace(weights=weights)
            after, new = step_program(step())(before, batch, hparams)
            if counts is not None:
                after, new = _if(counts, before, after, new, 0.0)
            if skip_nonfinite:
                good = jnp.isfinite(new["objective"]) & all_finite(after)
                after, new = _if(good, before, after, new, jnp.nan)
            objectives = objectives.at[number - start].set(new.pop("objective"))
            return after, jax.tree.map(jnp.add, sums, new), objectives

        key = own_key if shared_key is None else shared_key
        carry = (train_state, sums, jnp.zeros(CAPACITY))
        return reader.loop(arrays, key, start, stop, body, carry)

    def chunk(
        train_state: Any,
        sums: Sums,
        hparams: Hparams,
        own_key: Key | None,
        arrays: Any,
        shared_key: Key | None,
        start: Array,
        stop: Array,
    ) -> tuple[Any, Sums, Array]:
        each = runner.each(member, reader.epochs.batch_size)
        own = (train_state, sums, hparams, own_key)
        return each(own, (arrays, shared_key, start, stop))

    return chunk


def step_program(train_step: Any) -> Any:
    """One step, traced once: for its shapes and for the chunk."""
    return program(train_step, _make_step, inline=True)


def _make_step(step: Callable[[], Any]) -> Callable[..., Any]:
    def call(train_state: Any, batch: Batch, hparams: Hparams) -> tuple[Any, Sums]:
        train_step, hparams = resolve(step(), hparams)
        return train_step(train_state, batch, hparams)

    return call


def _if(taken: Array, before: Any, after: Any, sums: Sums, objective: float) -> tuple[Any, Sums]:
    """The step where it is `taken`; else one that changes nothing, with that objective.

    A train state's `step` counts it all the same, so that the next step draws anew.
    """
    state = jax.tree.map(lambda new, old: where(taken, new, old), after, before)
    if hasattr(after, "step"):
        state = state._replace(step=after.step)
    kept = jax.tree.map(lambda value: jnp.where(taken, value, 0), sums)
    return state, kept | {"objective": jnp.where(taken, sums["objective"], objective)}
