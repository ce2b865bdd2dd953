"""Recurrent networks as a `lax.scan` over steps, for every backend and any derivative.

Each function maps `(x, weights, carry, mask, kept)` to `(carry, y)`:

    x: (batch, time, features), finite in the padding.
    weights: `(kernel, recurrent_kernel, bias)`, gates side by side along the last axis; for a GRU
      also `recurrent_bias`.
    carry: a tuple of arrays (batch, units), at the start; at the end, after each row's last step.
    mask: whether a step is valid, bool (batch, time); None for all.
    kept: factors (batch, units) of the previous output where it enters the gates; None for 1.
    y: the outputs (batch, time, units); in the padding, those of the last valid step.

All arrays but `mask` have one dtype, float32 or wider.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxnets.layer import Array

Arrays = tuple[Array, ...]


def plain_simple_rnn(
    x: Array,
    weights: Arrays,
    carry: Arrays,
    mask: Array | None = None,
    kept: Array | None = None,
    *,
    activation: Callable[[Array], Array],
) -> tuple[Arrays, Array]:
    """H = activation(x W + h U + b); Elman 1990."""
    kernel, recurrent_kernel, bias = weights

    def step(carry: Arrays, x: Array) -> Arrays:
        (h,) = carry
        return (activation(x @ kernel + _kept(h, kept) @ recurrent_kernel + bias[None]),)

    return _scan(step, x, carry, mask)


def plain_lstm(
    x: Array,
    weights: Arrays,
    carry: Arrays,
    mask: Array | None = None,
    kept: Array | None = None,
) -> tuple[Arrays, Array]:
    """Long short-term memory; Hochreiter & Schmidhuber 1997, Gers et al. 2000 (forget gate)."""
    kernel, recurrent_kernel, bias = weights

    def step(carry: Arrays, x: Array) -> Arrays:
        h, c = carry
        z = x @ kernel + _kept(h, kept) @ recurrent_kernel + bias[None]
        i, f, g, o = jnp.split(z, 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return jax.nn.sigmoid(o) * jnp.tanh(c), c

    return _scan(step, x, carry, mask)


def plain_gru(
    x: Array,
    weights: Arrays,
    carry: Arrays,
    mask: Array | None = None,
    kept: Array | None = None,
) -> tuple[Arrays, Array]:
    """Gated recurrent unit; Cho et al. 2014, with the reset gate after the matmul (cuDNN)."""
    kernel, recurrent_kernel, bias, recurrent_bias = weights

    def step(carry: Arrays, x: Array) -> Arrays:
        (h,) = carry
        from_x = jnp.split(x @ kernel + bias[None], 3, axis=-1)
        from_h = jnp.split(_kept(h, kept) @ recurrent_kernel, 3, axis=-1)
        r, z = (jax.nn.sigmoid(a + b) for a, b in zip(from_x[:2], from_h[:2], strict=True))
        n = jnp.tanh(from_x[2] + r * (from_h[2] + recurrent_bias[None]))
        return ((1 - z) * n + z * h,)

    return _scan(step, x, carry, mask)


def _scan(
    step: Callable[[Arrays, Array], Arrays], x: Array, carry: Arrays, mask: Array | None
) -> tuple[Arrays, Array]:
    def body(carry: Arrays, now: tuple[Array, Array | None]) -> tuple[Arrays, Array]:
        x_t, live = now
        after = step(carry, x_t)
        if live is not None:
            both = zip(after, carry, strict=True)
            after = tuple(jnp.where(live[:, None], new, old) for new, old in both)
        return after, after[0]

    over_time = (jnp.moveaxis(x, 1, 0), None if mask is None else mask.T)
    carry, y = jax.lax.scan(body, carry, over_time)
    return carry, jnp.moveaxis(y, 0, 1)


def _kept(h: Array, kept: Array | None) -> Array:
    return h if kept is None else h * kept
