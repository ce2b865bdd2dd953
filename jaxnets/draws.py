"""Random draws of many arrays by one kernel: what `jax.random` would draw, bit for bit.

A draw is a call, such as that of `jax.random.truncated_normal`, in which each value depends on its
own random bits and on scalars only. Draws by the same formula, whatever their keys and shapes, are
computed as one array of blocks, which is then sliced into their arrays.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache, partial
from itertools import count
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.jaxpr.walk import ELEMENTWISE, Operation, Walk, compute
from jaxnets.layer import Array, Key

# Draws and a sharded `init` run once, for milliseconds: to optimize them in full would take longer
# than it saves. Both take the same options, so that they round alike.
OPTIONS = {"xla_backend_optimization_level": 1}
BLOCK = 1024  # values of one key that are drawn together
BLOCKS = 64  # draws are padded to a multiple of it, so that small models share one program
# What a draw may consist of, besides random bits and the shapes of scalars.
POINTWISE = ELEMENTWISE | {"bitcast_convert_type", "shift_left", "shift_right_logical"}
RESHAPES = ("broadcast_in_dim", "reshape", "squeeze")
# XLA may merge these with later arithmetic (two factors into one), which rounds differently. So
# those at the end of a draw run in the program that uses the draw.
ARITHMETIC = ("add", "sub", "mul", "div", "neg")


@dataclass(frozen=True)
class Formula:
    """How a draw computes values from random bits; formulas with equal steps are equal.

    Attributes:
      steps: the operations and their operands, without shapes, up to the last that is shared.
      call: a call with this formula; calls with equal steps may end in different arithmetic.
      constants: the operands of `call` after the key.
    """

    steps: tuple[str, ...]
    call: Operation = field(compare=False)
    constants: tuple[Any, ...] = field(compare=False)

    @property
    def last(self) -> str:
        """The name of the last step."""
        return f"step {len(self.steps) - 1}"


class Size(NamedTuple):
    """The number of keys of a draw, and how many values it draws with each."""

    keys: int
    values: int

    @property
    def blocks(self) -> int:
        """The number of blocks of a key."""
        return math.ceil(self.values / BLOCK)


def formula_of(call: Operation, operands: Sequence[Any]) -> Formula | None:
    """The formula of a call whose operands are a key and constants; None if it is not a draw."""
    if call.name != "jit" or len(call.eqn.outvars) > 1 or not _draws_by_threefry(call):
        return None
    steps: dict[str, str] = {}
    random: dict[str, tuple[str, list[str]]] = {}  # operation, and its operands that are random
    allowed: list[bool] = []

    def constant(value: Any, aval: Any) -> str:
        allowed.append(aval.size == 1 and not jnp.issubdtype(aval.dtype, jax.dtypes.prng_key))
        return f"{value}:{aval.dtype}"

    def visit(operation: Operation, values: list[str]) -> list[str]:
        name, options = operation.name, operation.eqn.params
        random_values = [value for value in values if value in random]
        is_random = bool(random_values) or name == "random_bits"
        if name == "random_bits":
            allowed.append(options["bit_width"] == 32 and not random)  # once only
        elif name in RESHAPES:  # of scalars, which broadcast anyway
            allowed.append(not is_random)
        else:
            allowed.append(name in POINTWISE)
            name = f"{name} {sorted(options.items())}"
        result = f"step {len(steps)}"
        steps[result] = f"{name} of {values}"
        if is_random:
            random[result] = operation.name, random_values
        return [result] * len(operation.eqn.outvars)

    constants, variables = operands[1:], call.eqn.invars[1:]
    scalars = [constant(x, variable.aval) for x, variable in zip(constants, variables, strict=True)]
    [output] = Walk(visit, constant)(call.eqn.params["jaxpr"], ["key", *scalars])
    if not (all(allowed) and output in random):
        return None
    last = output
    while random[last][0] in ARITHMETIC and len(random[last][1]) == 1:
        [last] = random[last][1]
    drawn = list(steps.values())[: list(steps).index(last) + 1]
    return Formula(tuple(drawn), call, tuple(constants))


def _draws_by_threefry(call: Operation) -> bool:
    config: Any = jax.config
    if not (call.eqn.invars and config.jax_threefry_partitionable):
        return False
    return call.eqn.invars[0].aval.dtype == _threefry() and size_of(call).values < 2**32


@cache
def _threefry() -> Any:
    """The dtype of a key of Threefry."""
    return jax.eval_shape(lambda: jax.random.key(0, impl="threefry2x32")).dtype


def size_of(call: Operation) -> Size:
    """The size of a draw."""
    keys, values = call.eqn.invars[0].aval.size, call.eqn.outvars[0].aval.size
    return Size(keys, values // max(keys, 1))


def draw(formula: Formula, keys: Sequence[tuple[Key, Size]]) -> Array:
    """The values (blocks, BLOCK) of draws; the blocks of a key follow one another.

    The number of blocks is rounded up to a multiple of `BLOCKS`.
    """
    data, starts = [], []
    for key, size in keys:
        start = np.arange(0, size.values, BLOCK, dtype=np.uint32)
        flat = np.asarray(jax.random.key_data(key)).reshape(size.keys, 2)
        data.append(np.repeat(flat, len(start), axis=0))
        starts.append(np.tile(start, size.keys))
    missing = -sum(map(len, starts)) % BLOCKS
    data.append(np.zeros((missing, 2), np.uint32))
    starts.append(np.zeros(missing, np.uint32))
    return _program(formula)(np.concatenate(data), np.concatenate(starts))


@lru_cache(maxsize=64)
def _program(formula: Formula) -> Any:
    return jax.jit(partial(_values, formula), compiler_options=OPTIONS)


def _values(formula: Formula, keys: Array, starts: Array) -> Array:
    position = starts[:, None] + jnp.arange(BLOCK, dtype=jnp.uint32)[None]
    bits = threefry_bits(keys[:, None], position)
    values: dict[str, Array] = {}

    def visit(operation: Operation, operands: list[Any]) -> Sequence[Any]:
        if operation.name == "random_bits":
            results = [bits]
        elif operation.name in RESHAPES:
            results = operands[:1]
        else:
            results = compute(operation, operands)
        values[f"step {len(values)}"] = results[0]
        return results

    def scalar(value: Any, aval: Any) -> Any:
        return jnp.reshape(value, ()) if aval.shape else value

    constants = [scalar(x, jnp.asarray(x)) for x in formula.constants]
    Walk(visit, scalar)(formula.call.eqn.params["jaxpr"], [None, *constants])
    return values[formula.last]


def finish(formula: Formula, drawn: Array) -> Array:
    """The result of a draw: the arithmetic after its last shared step, applied to `drawn`."""
    steps = count()

    def visit(operation: Operation, operands: list[Any]) -> Sequence[Any]:
        if f"step {next(steps)}" == formula.last:
            return [drawn]
        is_drawn = operation.name == "random_bits" or any(x is None for x in operands)
        return [None] if is_drawn else compute(operation, operands)

    return Walk(visit)(formula.call.eqn.params["jaxpr"], [None, *formula.constants])[0]


class Cut:
    """Values (blocks, BLOCK), from which the arrays of draws are cut in their order."""

    def __init__(self, values: Array):
        self._values = values
        self._next = 0

    def next(self, call: Operation) -> Array:
        """The array of the next draw."""
        size, first = size_of(call), self._next
        self._next += size.keys * size.blocks
        rows = self._values[first : self._next].reshape(size.keys, size.blocks * BLOCK)
        return rows[:, : size.values].reshape(call.eqn.outvars[0].aval.shape)


def threefry_bits(key: Array, position: Array) -> Array:
    """The bits at this position of `jax.random.bits` in 32 bits, from a key's data (..., 2).

    Encrypts the position with the key, by 20 rounds of Threefry-2x32, and combines both halves of
    the result by xor. Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
    """
    first, second = key[..., 0], key[..., 1]
    schedule = (first, second, first ^ second ^ jnp.uint32(0x1BD11BDA))
    a, b = first, position + second
    for group in range(5):
        for rotation in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
            a = a + b
            b = a ^ (b << jnp.uint32(rotation) | b >> jnp.uint32(32 - rotation))
        a = a + schedule[(group + 1) % 3]
        b = b + schedule[(group + 2) % 3] + jnp.uint32(group + 1)
    return a ^ b
