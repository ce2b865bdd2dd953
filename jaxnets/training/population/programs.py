"""The compiled program of a population: made once, measured, and held against the memory."""

import time
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.layer import Array, Key
from jaxnets.lowering import compiler_options
from jaxnets.training.arguments import RunError
from jaxnets.training.chunk import no_sums
from jaxnets.training.course import Strategy
from jaxnets.training.memory import free_bytes, needed_bytes
from jaxnets.training.population.chunk import run_population_chunk
from jaxnets.training.population.members import over_members
from jaxnets.training.update import Hyper, Sums, TrainState, Update

PROBE = 8  # steps to learn which strategy is faster


class Programs(NamedTuple):
    """Everything a population's chunk needs but its train states and its bounds.

    Attributes:
      update: one step of one member.
      data: the training split, on the device.
      hypers: the members' hyperparameters, leading axis N.
      order_key: draws the order that all share; None where each draws its own.
      options: the static options of `run_population_chunk`, but the strategy.
    """

    update: Update
    data: tuple[Array, Array]
    hypers: Hyper
    order_key: Key | None
    options: dict[str, Any]

    def start(self, keys: Key) -> TrainState:
        """The members' first states, from their keys (N,)."""
        return _init(self.update, keys, self.data[0][:1], self.hypers)

    def run(
        self, strategy: Strategy, states: TrainState, sums: Sums, start: int, stop: int
    ) -> tuple[TrainState, Sums, Array]:
        """Update all members from step `start` until `stop`; `states` are donated."""
        bounds = (np.int32(start), np.int32(stop))
        args = (states, sums, self.data, self.hypers, self.order_key, *bounds)
        return self._compiled(strategy, args)(*args)

    def no_sums(self, n: int) -> Sums:
        """The sums of `n` members over no step at all."""
        hyper = jax.tree.map(lambda leaf: leaf[0], self.hypers)
        size = self.options["batch_size"]
        member = jax.eval_shape(self.update.init, jax.random.key(0), self.data[0][:1], hyper)
        sums = no_sums(self.update, member, self.data, hyper, size)
        return jax.tree.map(lambda leaf: jnp.zeros((n, *leaf.shape), leaf.dtype), sums)

    def only(self, member: int) -> "Programs":
        """The same for a population of that member alone."""
        return self._replace(hypers=jax.tree.map(lambda h: h[member : member + 1], self.hypers))

    def fastest(self, states: TrainState, start: int) -> Strategy:
        """The strategy that takes less time for a few steps from here, measured."""

        def seconds(strategy: Strategy) -> float:
            for _ in range(2):  # the first also compiles and touches new memory
                copies = jax.block_until_ready(jax.tree.map(jnp.copy, states))
                began = time.perf_counter()
                sums = self.no_sums(len(states.step))
                jax.block_until_ready(self.run(strategy, copies, sums, start, start + PROBE))
            return time.perf_counter() - began

        strategies: tuple[Strategy, ...] = ("vmap", "map")
        return min(strategies, key=seconds)

    def check_memory(self, member: TrainState, n: int, strategy: Strategy) -> None:
        """Refuse a population that the memory cannot hold, and say how many members it can.

        Args:
          member: the shapes and dtypes of one member's train state.
          n: how many members are wanted.
          strategy: how they run.

        Raises:
          RunError: the program needs more than is free.
        """
        free, needed = free_bytes(), self._needed(member, n, strategy)
        if free is None or needed is None or needed <= free:
            return
        alone = self._needed(member, 1, strategy) or needed
        most = int(1 + (free - alone) / ((needed - alone) / (n - 1))) if n > 1 else 0
        raise RunError(
            f"{n} members need {needed / 2**30:.1f} GiB, but {free / 2**30:.1f} GiB are free; "
            f"{max(most, 0)} members would fit"
        )

    def _needed(self, member: TrainState, n: int, strategy: Strategy) -> int | None:
        def stacked(leaf: Any) -> jax.ShapeDtypeStruct:
            return jax.ShapeDtypeStruct((n, *leaf.shape), leaf.dtype)

        hypers = jax.tree.map(lambda h: stacked(h[0]), self.hypers)
        bound = np.int32(0)
        states, sums = jax.tree.map(stacked, member), self.no_sums(n)
        args = (states, sums, self.data, hypers, self.order_key, bound, bound)
        needed = needed_bytes(self._compiled(strategy, args))
        # a chunk's start is kept beside it, in case a member diverges; keys are nothing to it
        kept = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(states[1:4]))
        return None if needed is None else needed + kept

    def _compiled(self, strategy: Strategy, args: tuple) -> jax.stages.Compiled:
        leaves, structure = jax.tree.flatten(args)
        specs = tuple(jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves)
        options = tuple(self.options.items())
        return _compile(self.update, structure, specs, strategy, options)


@partial(jax.jit, static_argnums=0)
def _init(update: Update, keys: Key, x: Any, hypers: Hyper) -> TrainState:
    """One after another, so that a member starts from the bits that it would have alone."""
    member = over_members(lambda own, x: update.init(own[0], x, own[1]), "map")
    return member((keys, hypers), x)


@lru_cache(maxsize=64)
def _compile(
    update: Update, structure: Any, specs: tuple, strategy: Strategy, options: tuple
) -> jax.stages.Compiled:
    args = jax.tree.unflatten(structure, specs)
    lowered = run_population_chunk.lower(update, *args, strategy=strategy, **dict(options))
    return lowered.compile(compiler_options(args[0].params))
