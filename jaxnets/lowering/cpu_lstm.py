"""The forward and the backward pass of an LSTM on CPU; see `time_blocks` for the layout."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.layer import Array
from jaxnets.lowering import time_blocks
from jaxnets.lowering.plain_recurrent import Arrays
from jaxnets.lowering.time_blocks import at, columns, hold, live_at, put


def lstm_forward(
    x: Array, weights: Arrays, carry: Arrays, mask: Array | None
) -> tuple[tuple[Arrays, Array], Any]:
    """The result of `plain_lstm`, and the inputs, gates and cells that the backward pass reads."""
    batch, time, features = x.shape
    units, dtype = carry[0].shape[-1], x.dtype
    kernel, recurrent_kernel, bias = weights
    # One sigmoid serves all gates, since tanh(g) = 2 sigmoid(2 g) - 1.
    double = jnp.where(jnp.arange(4 * units) // units == 2, 2, 1).astype(dtype)
    joined = (jnp.concatenate([kernel, recurrent_kernel]) * double[None]).T
    bias = (bias * double)[:, None]
    inputs = jnp.pad(time_blocks.as_blocks(x), ((0, 0), (0, units), (0, 0)))  # [x_t; h_{t-1}]

    def step(t: Any, j: Any, k: Any, before: Any) -> Any:
        h, c, inputs, cells, gates, y = before
        inputs = put(inputs, h, j, features, k * batch)
        a = jax.nn.sigmoid(joined @ columns(at(inputs, j), k, batch) + bias)
        i, f, g, o = a[:units], a[units : 2 * units], 2 * a[2 * units : 3 * units] - 1, a[-units:]
        live = live_at(mask, t)
        cells = put(cells, c, t)
        c = hold(live, f * c + i * g, c)
        h = hold(live, o * jnp.tanh(c), h)
        return h, c, inputs, cells, put(gates, a, t), put(y, h, t)

    def empty(rows: int) -> Array:
        return jnp.zeros((time, rows, batch), dtype)

    h, c = (part.T for part in carry)
    first = (h, c, inputs, empty(units), empty(4 * units), empty(units))
    h, c, inputs, cells, gates, y = time_blocks.forward(time, step, first)
    return ((h.T, c.T), y.transpose(2, 0, 1)), (inputs, cells, gates, c)


def lstm_backward(weights: Arrays, mask: Array | None, saved: Any, cotangents: Any) -> Any:
    """The gradients for x, the weights and the carry."""
    inputs, cells, gates, c = saved
    (dh, dc), dy = cotangents
    batch, time, units = dy.shape
    kernel, recurrent_kernel, _ = weights
    features = kernel.shape[0]
    joined, dy = jnp.concatenate([kernel, recurrent_kernel]), dy.transpose(1, 2, 0)

    def step(t: Any, j: Any, k: Any, after: Any) -> Any:
        del j
        dh, dc, c, dz, dx = after
        a, c_before, live = at(gates, t), at(cells, t), live_at(mask, t)
        i, f, g, o = a[:units], a[units : 2 * units], 2 * a[2 * units : 3 * units] - 1, a[-units:]
        dh_now, tanh_c = dh + at(dy, t), jnp.tanh(c)
        dc_now = dc + dh_now * o * (1 - tanh_c * tanh_c)
        of_gates = (
            dc_now * g * i * (1 - i),
            dc_now * c_before * f * (1 - f),
            dc_now * i * (1 - g * g),
            dh_now * tanh_c * o * (1 - o),
        )
        for gate, d in enumerate(of_gates):
            dz = put(dz, hold(live, d, jnp.zeros_like(d)), gate * units, k * batch)
        dxh = joined @ columns(dz, k, batch)
        dh = hold(live, dxh[features:], dh_now)
        dc = hold(live, dc_now * f, dc)
        return dh, dc, c_before, dz, put(dx, dxh[:features], t)

    def after_block(j: Any, carry: Any, totals: Any) -> Any:
        dz, (dw, db) = carry[3], totals
        return dw + dz @ at(inputs, j).T, db + dz.sum(1)

    dz = jnp.zeros((4 * units, time_blocks.STEPS * batch), dy.dtype)
    dx = jnp.zeros((time, features, batch), dy.dtype)
    totals = (jnp.zeros(joined.T.shape, dy.dtype), jnp.zeros(4 * units, dy.dtype))
    first = (dh.T, dc.T, c, dz, dx)
    (dh, dc, _, _, dx), (dw, db) = time_blocks.backward(time, step, after_block, first, totals)
    dw = dw.T
    return dx.transpose(2, 0, 1), (dw[:features], dw[features:], db), (dh.T, dc.T)
