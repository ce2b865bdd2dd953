"""Causal attention: on CPU in blocks of queries, which leave out most of the masked products."""

from collections.abc import Callable
from itertools import pairwise

import jax.numpy as jnp
from jax import lax

from jaxnets.layer import Array
from jaxnets.lowering.plain_context import needs_plain

Attend = Callable[[Array, Array, Array, Array], Array]  # of queries, keys, values and a mask

BLOCKS = 4
FEWEST_STEPS = 64  # with fewer, blocks take as long


def causal_attention(attend: Attend, query: Array, key: Array, value: Array) -> Array:
    """`attend` with a mask by which each step attends to itself and earlier steps only.

    All arrays are (batch, time, heads, d). A block of queries reads the keys up to its last step:
    with four blocks, 5/8 of the products of queries and keys are computed.
    """

    def whole(query: Array, key: Array, value: Array) -> Array:
        return attend(query, key, value, _mask(0, query.shape[1]))

    def in_blocks(query: Array, key: Array, value: Array) -> Array:
        bounds = pairwise(query.shape[1] * i // BLOCKS for i in range(BLOCKS + 1))
        parts = [
            attend(query[:, start:stop], key[:, :stop], value[:, :stop], _mask(start, stop))
            for start, stop in bounds
        ]
        return jnp.concatenate(parts, axis=1)

    if needs_plain(query) or query.shape[1] < FEWEST_STEPS:
        return whole(query, key, value)
    return lax.platform_dependent(query, key, value, cpu=in_blocks, default=whole)


def _mask(start: int, stop: int) -> Array:
    """For queries at these steps: True for keys up to their own, (1, 1, stop - start, stop)."""
    return jnp.tri(stop - start, stop, start, dtype=bool)[None, None]
