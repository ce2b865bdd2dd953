"""Recurrent layers: one cell applied at every time step."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.dtypes import as_array, wide_dtype
from jaxnets.errors import LayerError
from jaxnets.layer import Array, Key, Layer, Params, State


def scan_over_time(cell: Layer, carry: Callable[[Any], Any]) -> Layer:
    """A recurrent layer: one cell, with the same weights, at every time step.

    Args:
      cell: maps `(carry, x_t)` to `(carry, y_t)`, with `x_t` of shape (batch, ...).
      carry: returns the initial carry for the input's first time step, as in
        `lambda x: jnp.zeros((x.shape[0], 64))`; it is cast to the dtype in which the cell returns
        it, which depends on the dtype of the params.

    Returns:
      A `Layer` from (batch, time, ...) to (batch, time, ...). The cell's state passes from step
      to step; its key at step t is `fold_in(key, t)`.

    Raises:
      LayerError: an input without time steps, or a cell that changes the carry's structure.
    """

    def init(key: Key, x: Any) -> tuple[Params, State]:
        _expect_steps(x)
        first = jax.eval_shape(lambda x: x[:, 0], x)
        return cell.init(key, (jax.eval_shape(carry, first), first))

    def apply(
        params: Params, state: State, x: Array, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        x = as_array(x)
        _expect_steps(x)
        wide = jax.tree.map(_widen, params)

        def step(carry_and_state: tuple, t_and_x: tuple[int | Array, Array]) -> tuple:
            (carry, state), (t, x_t) = carry_and_state, t_and_x
            step_key = None if key is None else jax.random.fold_in(key, t)
            narrow = jax.tree.map(lambda w, p: w.astype(p.dtype), wide, params)
            (carry, y_t), state = cell.apply(narrow, state, (carry, x_t), key=step_key, train=train)
            return (carry, state), y_t

        returned = jax.eval_shape(lambda x: step((carry(x[:, 0]), state), (0, x[:, 0]))[0][0], x)
        times = jnp.arange(x.shape[1])
        start = (_cast_carry(carry(x[:, 0]), returned), state)
        (_, state), y = jax.lax.scan(step, start, (times, jnp.moveaxis(x, 1, 0)))
        return jnp.moveaxis(y, 0, 1), state

    return Layer(init, apply)


def _widen(leaf: Array) -> Array:
    """A 16-bit float as float32, so that its gradient is not summed in 16 bits over time."""
    narrow = jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.dtype.itemsize < 4
    return leaf.astype(wide_dtype(leaf.dtype)) if narrow else leaf


def _expect_steps(x: Any) -> None:
    if len(x.shape) < 2 or not x.shape[1]:
        raise LayerError(
            f"scan_over_time expects (batch, time, ...) with at least one step, but got {x.shape}"
        )


def _cast_carry(first: Any, returned: Any) -> Any:
    """The initial carry, cast to the dtypes of the carry that the cell returns for it."""
    expected, got = (jax.tree.map(jnp.shape, carry) for carry in (first, returned))
    if expected != got:
        raise LayerError(
            f"scan_over_time expects the cell to return a carry of the initial shape, {expected}, "
            f"but it returned {got}; pass an initial carry of the shape that the cell returns"
        )
    return jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), first, returned)
