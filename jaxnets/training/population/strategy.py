"""Which strategy a population runs by, and whether it fits into the memory."""

import time
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.errors import RunError
from jaxnets.training.compiled_loop import CompiledLoop
from jaxnets.training.memory import free_bytes, needed_bytes
from jaxnets.training.run import Run, copy
from jaxnets.training.runners import Members, Strategy
from jaxnets.training.train_step import Hparams

PROBE = 8  # steps to learn which strategy is faster


def by_strategy(loop: CompiledLoop, strategy: Strategy) -> CompiledLoop:
    """The same loop by this strategy."""
    return replace(loop, runner=Members(loop.runner.members, strategy))


def fastest(run: Run, hparams: Hparams) -> Strategy:
    """The strategy that takes less time for a few steps from here, measured."""

    def seconds(strategy: Strategy) -> float:
        loop = by_strategy(run.loop, strategy)
        arrays, stop = loop.source.read(run.step, run.step + PROBE)
        for _ in range(2):  # the first also compiles and touches new memory
            states = jax.block_until_ready(copy(run.train_state))
            began = time.perf_counter()
            loop.run(states, run.sums, hparams, arrays, run.step, stop)
        return time.perf_counter() - began

    strategies: tuple[Strategy, ...] = ("vmap", "map")
    return min(strategies, key=seconds)


def check_memory(run: Run, hparams: Hparams, strategy: Strategy) -> None:
    """Refuse a population that the memory cannot hold, and say how many members it can.

    Raises:
      RunError: the program needs more than is free.
    """
    n = run.loop.runner.members
    free, needed = free_bytes(), _needed(run, hparams, strategy, n)
    if free is None or needed is None or needed <= free:
        return
    alone = _needed(run, hparams, strategy, 1) or needed
    most = int(1 + (free - alone) / ((needed - alone) / (n - 1))) if n > 1 else 0
    raise RunError(
        f"{n} members need {needed / 2**30:.1f} GiB, but {free / 2**30:.1f} GiB are free; "
        f"{max(most, 0)} members would fit"
    )


def _needed(run: Run, hparams: Hparams, strategy: Strategy, n: int) -> int | None:
    """The bytes that a chunk of n such members holds at most; None where that is not known."""

    def resized(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((n, *leaf.shape[1:]), leaf.dtype)

    loop = replace(run.loop, runner=Members(n, strategy))
    arrays, _ = loop.source.read(run.step, run.step)
    arguments = loop.arguments(run.train_state, run.sums, hparams, arrays, run.step, run.step)
    own, shared = jax.tree.map(resized, arguments[:4]), arguments[4:]
    needed = needed_bytes(loop.executable((*own, *shared)))
    # A chunk's start is kept beside it, in case a member diverges.
    kept = sum(
        leaf.size * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(own[0])
        if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    )
    return None if needed is None else needed + kept
