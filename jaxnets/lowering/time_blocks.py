"""Sequences as blocks of steps with the batch last, the layout of the recurrent passes on CPU.

With the batch last, each gate of (gates * units, batch) is contiguous, so that no operation of a
step splits or joins rows. A weight's gradient is one matmul for each block of `STEPS` steps, whose
operands stay in the cache, instead of a small one for each step or one of the size of the sequence.
"""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from jaxnets.layer import Array

STEPS = 10  # per block


def count(time: int) -> int:
    """The number of blocks."""
    return -(-time // STEPS)


def as_blocks(x: Array) -> Array:
    """(batch, time, n) as (blocks, n, STEPS * batch), padded with zeros."""
    batch, time, n = x.shape
    blocks = count(time)
    x = jnp.pad(x, ((0, 0), (0, blocks * STEPS - time), (0, 0)))
    return x.reshape(batch, blocks, STEPS, n).transpose(1, 3, 2, 0).reshape(blocks, n, -1)


def from_blocks(x: Array, time: int, batch: int) -> Array:
    """The inverse of `as_blocks`."""
    blocks, n, _ = x.shape
    x = x.reshape(blocks, n, STEPS, batch).transpose(3, 0, 2, 1)
    return x.reshape(batch, blocks * STEPS, n)[:, :time]


def forward(time: int, step: Callable[[Any, Any, Any, Any], Any], carry: Any) -> Any:
    """`step(t, block, index, carry)` for every step; `index` is that of the step in its block."""

    def block(j: Array, carry: Any) -> Any:
        def body(k: Array, carry: Any) -> Any:
            return step(j * STEPS + k, j, k, carry)

        return lax.fori_loop(0, _steps(time, j), body, carry)

    return lax.fori_loop(0, count(time), block, carry)


def backward(
    time: int,
    step: Callable[[Any, Any, Any, Any], Any],
    after_block: Callable[[Any, Any, Any], Any],
    carry: Any,
    totals: Any,
) -> tuple[Any, Any]:
    """Calls `step(t, block, index, carry)` from the last step to the first.

    After each block, calls `after_block(block, carry, totals)`, which returns the new totals.
    """

    def block(m: Array, carry_and_totals: Any) -> Any:
        carry, totals = carry_and_totals
        j = count(time) - 1 - m
        steps = _steps(time, j)

        def body(i: Array, carry: Any) -> Any:
            k = steps - 1 - i
            return step(j * STEPS + k, j, k, carry)

        carry = lax.fori_loop(0, steps, body, carry)
        return carry, after_block(j, carry, totals)

    return lax.fori_loop(0, count(time), block, (carry, totals))


def _steps(time: int, block: Array) -> Any:
    """The number of steps of a block; the last may have fewer."""
    return STEPS if time % STEPS == 0 else jnp.minimum(STEPS, time - block * STEPS)


def at(a: Array, t: Array) -> Array:
    """The entry of step t of an array (time, ...)."""
    return lax.dynamic_index_in_dim(a, t, keepdims=False)


def put(a: Array, value: Array, *start: Any) -> Array:
    """The array with `value` written at this start, in place; the axes after it start at 0."""
    value = value.reshape((1,) * (a.ndim - value.ndim) + value.shape)
    return lax.dynamic_update_slice(a, value, (*start, *(0,) * (a.ndim - len(start))))


def columns(a: Array, index: Array, batch: int) -> Array:
    """The columns of a step in a block (n, STEPS * batch)."""
    return lax.dynamic_slice(a, (0, index * batch), (a.shape[0], batch))


def hold(live: Array | None, new: Array, old: Array) -> Array:
    """The new value where `live`, bool (batch,), is true, else the old one; both (n, batch)."""
    return new if live is None else jnp.where(live[None], new, old)


def live_at(mask: Array | None, t: Array) -> Array | None:
    """The mask (batch, time) of step t."""
    return None if mask is None else lax.dynamic_index_in_dim(mask, t, 1, keepdims=False)
