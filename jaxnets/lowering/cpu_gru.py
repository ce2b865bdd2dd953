"""The forward and the backward pass of a GRU on CPU; see `time_blocks` for the layout."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.layer import Array
from jaxnets.lowering import time_blocks
from jaxnets.lowering.plain_recurrent import Arrays
from jaxnets.lowering.time_blocks import at, columns, hold, live_at, put


def gru_forward(
    x: Array, weights: Arrays, carry: Arrays, mask: Array | None
) -> tuple[tuple[Arrays, Array], Any]:
    """The result of `plain_gru`, and the inputs, outputs and gates that the backward pass reads."""
    batch, time, _ = x.shape
    units, dtype = carry[0].shape[-1], x.dtype
    kernel, recurrent_kernel, bias, recurrent_bias = weights
    kernel, recurrent_kernel = kernel.T, recurrent_kernel.T
    bias, recurrent_bias = bias[:, None], recurrent_bias[:, None]
    inputs = time_blocks.as_blocks(x)

    def step(t: Any, j: Any, k: Any, before: Any) -> Any:
        h, outputs, gates, y = before
        outputs = put(outputs, h, j, 0, k * batch)
        from_x = kernel @ columns(at(inputs, j), k, batch) + bias
        from_h = recurrent_kernel @ h
        rz = jax.nn.sigmoid(from_x[: 2 * units] + from_h[: 2 * units])
        inner = from_h[2 * units :] + recurrent_bias
        n = jnp.tanh(from_x[2 * units :] + rz[:units] * inner)
        h = hold(live_at(mask, t), n + rz[units:] * (h - n), h)
        for first, values in ((0, rz), (2 * units, n), (3 * units, inner)):
            gates = put(gates, values, t, first)
        return h, outputs, gates, put(y, h, t)

    outputs = jnp.zeros((len(inputs), units, inputs.shape[2]), dtype)
    gates, y = (jnp.zeros((time, rows, batch), dtype) for rows in (4 * units, units))
    h, outputs, gates, y = time_blocks.forward(time, step, (carry[0].T, outputs, gates, y))
    return ((h.T,), y.transpose(2, 0, 1)), (inputs, outputs, gates)


def gru_backward(weights: Arrays, mask: Array | None, saved: Any, cotangents: Any) -> Any:
    """The gradients for x, the weights and the carry."""
    inputs, outputs, gates = saved
    (dh,), dy = cotangents
    batch, time, units = dy.shape
    kernel, recurrent_kernel, *_ = weights
    dy = dy.transpose(1, 2, 0)
    # The gates of d are n, r, z, inner: the first three depend on x, the last three on h_{t-1}.
    kernel = jnp.roll(kernel, units, axis=1)

    def step(t: Any, j: Any, k: Any, after: Any) -> Any:
        dh, d = after
        a, live = at(gates, t), live_at(mask, t)
        r, z, n, inner = (a[gate * units : (gate + 1) * units] for gate in range(4))
        h_before = columns(at(outputs, j), k, batch)
        dh_now = dh + at(dy, t)
        dn = dh_now * (1 - z) * (1 - n * n)
        of_gates = (dn, dn * inner * r * (1 - r), dh_now * (h_before - n) * z * (1 - z), dn * r)
        for gate, values in enumerate(of_gates):
            d = put(d, hold(live, values, jnp.zeros_like(values)), gate * units, k * batch)
        back = recurrent_kernel @ columns(d[units:], k, batch)
        return hold(live, back + dh_now * z, dh_now), d

    def after_block(j: Any, carry: Any, totals: Any) -> Any:
        d, (dw, du, db, dx) = carry[1], totals
        dw, du = dw + d[: 3 * units] @ at(inputs, j).T, du + d[units:] @ at(outputs, j).T
        return dw, du, db + d.sum(1), put(dx, kernel @ d[: 3 * units], j)

    d = jnp.zeros((4 * units, time_blocks.STEPS * batch), dy.dtype)
    zeros = [jnp.zeros(shape, dy.dtype) for shape in (kernel.T.shape, recurrent_kernel.T.shape)]
    totals = (*zeros, jnp.zeros(4 * units, dy.dtype), jnp.zeros(inputs.shape, dy.dtype))
    (dh, _), (dw, du, db, dx) = time_blocks.backward(time, step, after_block, (dh.T, d), totals)
    dx = time_blocks.from_blocks(dx, time, batch)
    by_weights = (jnp.roll(dw.T, -units, axis=1), du.T, jnp.roll(db[: 3 * units], -units))
    return dx, (*by_weights, db[3 * units :]), (dh.T,)
