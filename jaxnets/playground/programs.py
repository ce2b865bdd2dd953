"""Programs compiled ahead of time for each structure, so that no other setting recompiles them."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.keys import stream
from jaxnets.layer import Array, Key
from jaxnets.playground.look import Maps, look
from jaxnets.playground.network import hparams_of, make_step
from jaxnets.playground.options import POINTS, UNITS, Options, Structure
from jaxnets.training import Batch, TrainState

GRID, LARGE, MOST = 20, 50, 32  # side of the small maps and of the large one; programs kept
# Optimizing such small programs in full takes longer than it saves.
QUICK: dict[str, Any] = {"xla_llvm_disable_expensive_passes": True}
if version("jaxlib").startswith("0.10."):  # options that come and go with versions
    QUICK |= {
        "xla_cpu_use_fusion_emitters": False,
        "xla_cpu_parallel_codegen_split_count": 1,
        "xla_cpu_prefer_vector_width": 128,
    }


class Programs(NamedTuple):
    """`init(seeds, hparams)`, `advance(...)` and `look(...)`, for a population of one structure."""

    init: Any
    advance: Any
    look: Any


_CACHE: dict[Structure, Programs] = {}
_LOCK = threading.Lock()
COMPILED = [0]  # the number of programs compiled so far


def compiled(options: Options) -> Programs | None:
    """The programs of these settings, if they are there already."""
    return _CACHE.get(options.structure)


def compile_programs(options: Options) -> Programs:
    """The programs of these settings, compiled unless they are there; one thread at a time."""
    structure, hparams = options.structure, hparams_of(options)
    with _LOCK:
        if structure in _CACHE:
            return _CACHE[structure]
        while len(_CACHE) >= MOST:
            del _CACHE[next(iter(_CACHE))]
        seeds = np.zeros(structure.seeds, np.uint32)
        init, seen, advance = (partial(f, structure) for f in (_init, look, _advance))
        states = jax.eval_shape(init, seeds, hparams)
        x, y = (np.zeros((POINTS, columns), np.float32) for columns in (UNITS, 1))
        maps = [np.zeros((side**2, UNITS), np.float32) for side in (GRID, LARGE)]
        stopped, number = np.zeros(structure.seeds, np.int32), np.int32(0)
        arguments = (states, stopped, hparams, x, y, *[number] * 4)
        counts = np.zeros(2, np.int32)
        with ThreadPoolExecutor(3) as pool:  # XLA compiles without Python's lock
            programs = (
                pool.submit(_compile, init, 0, seeds, hparams),
                pool.submit(_compile, advance, 1, *arguments, donate_argnums=0),
                pool.submit(
                    _compile, seen, 1, states, hparams, Maps(x, y, maps[0], maps[1], counts), number
                ),
            )
            _CACHE[structure] = Programs(*(program.result() for program in programs))
        return _CACHE[structure]


def _compile(f: Any, level: int, *arguments: Any, **options: Any) -> Any:
    """The program of `f` at an optimization level; `init` runs once, and needs none."""
    COMPILED[0] += 1
    options |= {"compiler_options": QUICK | {"xla_backend_optimization_level": level}}
    return jax.jit(f, **options).lower(*arguments).compile()


def _init(structure: Structure, seeds: Array, hparams: Any) -> TrainState:
    step = make_step(structure, hparams)
    return jax.vmap(lambda seed: step.init(jax.random.key(seed), jnp.zeros((1, UNITS))))(seeds)


def order(key: Key, epoch: Array, count: Array) -> Array:
    """The order of an epoch, the same as that of `fit` on `count` points: int32 (POINTS,).

    The first `count` entries are valid. `jax.random.permutation` sorts by random bits; the other
    rows get the largest bits and sort to the end, so that the number of points can be traced.
    """
    _, subkey = jax.random.split(stream(key, "order", epoch))
    rows = jnp.arange(POINTS, dtype=jnp.int32)
    bits = jnp.where(rows < count, jax.random.bits(subkey, (POINTS,)), jnp.uint32(0xFFFFFFFF))
    return jax.lax.sort_key_val(bits, rows)[1]


def batch_at(structure: Structure, rows: Array, index: Array, x: Any, y: Any, size: Array) -> Batch:
    """Batch `index` of the epoch with this order; rows beyond `size` have weight 0."""
    padded = jnp.pad(rows, (0, structure.rows))
    chosen = jax.lax.dynamic_slice(padded, (index * size,), (structure.rows,))
    weights = (jnp.arange(structure.rows) < size).astype(jnp.float32)
    return Batch(x[chosen], y[chosen], weights)


def _advance(
    structure: Structure,
    states: TrainState,
    stopped: Array,
    hparams: Any,
    x: Array,
    y: Array,
    count: Array,
    size: Array,
    start: Array,
    stop: Array,
) -> tuple[TrainState, Array]:
    """Train every network from step `start` to `stop`.

    `stopped` has, per network, 0, or 1 + the first step with a non-finite number: the network keeps
    the state before that step.
    """
    train_step, per_epoch = make_step(structure, hparams), count // size

    def member(state: TrainState, stopped: Array) -> tuple[TrainState, Array]:
        def step(epoch: Array, rows: Array, index: Array, carry: Any) -> Any:
            state, stopped = carry
            after, sums = train_step(state, batch_at(structure, rows, index, x, y, size))
            floats = jax.tree.leaves((sums["objective"], after.params, after.model_state))
            finite = jnp.isfinite(jnp.concatenate([leaf.ravel() for leaf in floats])).all()
            fails = (stopped == 0) & ~finite
            stopped = jnp.where(fails, 1 + epoch * per_epoch + index, stopped)
            keep = partial(jnp.where, stopped == 0)
            kept = jax.tree.map(keep, after._replace(key=0), state._replace(key=0))
            return kept._replace(key=state.key), stopped

        def epoch(number: Array, carry: Any) -> Any:
            # The key of a state is stream(key, "train"), which `fit` shuffles with, too.
            rows = order(state.key, number, count)
            first = jnp.maximum(start - number * per_epoch, 0)
            last = jnp.minimum(stop - number * per_epoch, per_epoch)
            return jax.lax.fori_loop(first, last, partial(step, number, rows), carry)

        bounds = start // per_epoch, -(-stop // per_epoch)
        return jax.lax.fori_loop(*bounds, epoch, (state, stopped))

    return jax.vmap(member)(states, stopped)
