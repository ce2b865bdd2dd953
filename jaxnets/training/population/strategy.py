"""Chooses the strategy of a population, and checks that it fits into the memory."""

import math
import time
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.errors import RunError
from jaxnets.sharding import agree, replicate, use_mesh
from jaxnets.training.compiled_loop import CompiledLoop
from jaxnets.training.memory import free_bytes, needed_bytes
from jaxnets.training.run import Run, copy
from jaxnets.training.runners import Members, Strategy
from jaxnets.training.train_step import Hparams

PROBE_STEPS = 8  # to measure which strategy is faster


def with_strategy(loop: CompiledLoop, strategy: Strategy) -> CompiledLoop:
    """The same loop with another strategy."""
    return replace(loop, runner=Members(loop.runner.members, strategy))


def fastest(run: Run, hparams: Hparams) -> Strategy:
    """The faster strategy, measured for a few steps from the run's state."""

    def seconds(strategy: Strategy) -> float:
        loop = with_strategy(run.loop, strategy)
        arrays, stop = loop.source.read(run.step, run.step + PROBE_STEPS)
        for _ in range(2):  # the first run also compiles and allocates memory
            states = jax.block_until_ready(copy(run.train_state))
            start_time = time.perf_counter()
            loop.run(states, run.sums, hparams, arrays, run.step, stop)
        return time.perf_counter() - start_time

    strategies: tuple[Strategy, ...] = ("vmap", "map")
    measured = [agree(seconds(strategy)) for strategy in strategies]
    return strategies[measured.index(min(measured))]


def check_memory(run: Run, hparams: Hparams, strategy: Strategy) -> None:
    """Refuse a population that does not fit into the memory.

    Raises:
      RunError: the program needs more memory than is free; says how many members would fit.
    """
    n = run.loop.runner.members
    free, needed = free_bytes(), _peak_bytes(run, hparams, strategy, n)
    if free is None or needed is None or needed <= free:
        return
    needed_by_one = _peak_bytes(run, hparams, strategy, 1) or needed
    most = int(1 + (free - needed_by_one) / ((needed - needed_by_one) / (n - 1))) if n > 1 else 0
    raise RunError(
        f"{n} members need {needed / 2**30:.1f} GiB, but {free / 2**30:.1f} GiB are free; "
        f"{max(most, 0)} members would fit"
    )


def _peak_bytes(run: Run, hparams: Hparams, strategy: Strategy, n: int) -> int | None:
    """The peak memory of a chunk of n members; None if it is not known."""

    def resize(leaf: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((n, *leaf.shape[1:]), leaf.dtype)

    loop = replace(run.loop, runner=Members(n, strategy))
    arrays, _ = loop.source.read(run.step, run.step)
    arguments = loop.arguments(run.train_state, run.sums, hparams, arrays, run.step, run.step)
    per_member, shared = jax.tree.map(resize, arguments[:4]), arguments[4:]
    per_member = (loop.place_shapes(per_member[0]), *per_member[1:])
    with use_mesh(loop.mesh):
        compiled = loop.executable((*per_member, *replicate(loop.mesh, shared)))
    program_bytes = needed_bytes(compiled)  # of each device
    # A copy of the train state at the start of a chunk is kept, in case a member diverges.
    copy_bytes = sum(
        math.prod(leaf.sharding.shard_shape(leaf.shape) if loop.mesh else leaf.shape)
        * leaf.dtype.itemsize
        for leaf in jax.tree.leaves(per_member[0])
        if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    )
    return None if program_bytes is None else program_bytes + copy_bytes
