"""Recurrent layers: one cell applied at every time step."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.dtypes import as_array, wide_dtype
from jaxnets.errors import LayerError
from jaxnets.layer import Array, Key, Layer, Params, State, check_layer
from jaxnets.padded import (
    Padded,
    expect_steps,
    over_steps,
    refuse_state,
    repad,
    unpad,
    with_valid_steps,
)


def scan_over_time(cell: Layer, carry: Callable[[Any], Any]) -> Layer:
    """A recurrent layer: one cell, with the same weights, at every time step.

    For padded batches, or to pass in the initial carry, use `recurrent`.

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
    check_layer("scan_over_time", cell)

    def init(key: Key, x: Any) -> tuple[Params, State]:
        expect_steps("scan_over_time", x)
        first = jax.eval_shape(lambda x: x[:, 0], x)
        return cell.init(key, (jax.eval_shape(carry, first), first))

    def apply(
        params: Params, state: State, x: Array, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        x = as_array(x)
        expect_steps("scan_over_time", x)
        step = _step(cell, params, key, train)
        start = _cast_carry("scan_over_time", step, carry(x[:, 0]), state, x[:, 0])
        _, state, y = _scan(step, start, state, x, None)
        return y, state

    return Layer(init, apply)


def recurrent(cell: Layer, carry: Callable[[Any], Any]) -> Layer:
    """A recurrent layer from a custom cell, for arrays and padded batches.

    In the padding the carry stays as it was and the output is 0. Given `(carry, x)` instead of `x`,
    the layer starts from that carry and returns `(carry, y)`, like `lstm`.

    Args:
      cell: maps `(carry, x_t)` to `(carry, y_t)`, arrays (batch, ...), without state if it is to
        take padded batches.
      carry: returns the initial carry for the input's first time step, as in
        `lambda x: jnp.zeros((x.shape[0], 64))`; it is cast to the dtype in which the cell returns
        it.

    Returns:
      A `Layer` from (batch, time, ...) to (batch, time, ...). The cell's key at step t is
      `fold_in(key, t)`.

    Raises:
      LayerError: an input without time steps, a cell that changes the carry's structure, or one
        with state and a padded batch.
    """
    check_layer("recurrent", cell)

    def init(key: Key, x: Any) -> tuple[Params, State]:
        _, x = without_carry(x)
        expect_steps("recurrent", x)
        first = jax.eval_shape(lambda x: x[:, 0], unpad(x)[0])
        params, state = cell.init(key, (jax.eval_shape(carry, first), first))
        refuse_state("recurrent", x, state)
        return params, state

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        start, x = without_carry(x)
        expect_steps("recurrent", x)
        refuse_state("recurrent", x, state if train else {})
        padded, lengths = isinstance(x, Padded), unpad(x)[1]
        values = with_valid_steps(x) if padded else as_array(x)
        first = carry(values[:, 0]) if start is None else start
        step = _step(cell, params, key, train)
        first = _cast_carry("recurrent", step, first, state, values[:, 0])
        last, state, y = _scan(step, first, state, values, x.mask if padded else None)
        y = jax.tree.map(lambda y: repad(y, lengths), y)
        return (y if start is None else (last, y)), state

    return Layer(init, apply)


def without_carry(x: Any) -> tuple[Any, Any]:
    """`(carry, x)` for a recurrent layer's input: the carry is None if the input is x alone."""
    is_pair = isinstance(x, tuple) and not isinstance(x, Padded)
    return x if is_pair and len(x) == 2 else (None, x)


def hold(live: Array | None, new: Any, old: Any) -> Any:
    """The new carry where `live`, bool (batch,), is true, else the old one; None: all are live."""
    if live is None:
        return new
    return jax.tree.map(lambda new, old: jnp.where(over_steps(live, new), new, old), new, old)


def _step(cell: Layer, params: Params, key: Key | None, train: bool) -> Callable:
    """`step((carry, state), (t, x_t))`, which returns `((carry, state), y_t)`."""
    wide = jax.tree.map(_widen, params)

    def step(carry_and_state: tuple, t_and_x: tuple[int | Array, Array]) -> tuple:
        (carry, state), (t, x_t) = carry_and_state, t_and_x
        step_key = None if key is None else jax.random.fold_in(key, t)
        narrow = jax.tree.map(lambda w, p: w.astype(p.dtype), wide, params)
        (carry, y_t), state = cell.apply(narrow, state, (carry, x_t), key=step_key, train=train)
        return (carry, state), y_t

    return step


def _scan(step: Callable, carry: Any, state: State, x: Array, mask: Array | None) -> tuple:
    """The last carry, the state, and the outputs (batch, time, ...) of all steps."""

    def body(before: tuple, now: tuple) -> tuple:
        t, x_t, live = now
        (carry, state), y_t = step(before, (t, x_t))
        return (hold(live, carry, before[0]), state), y_t

    over_time = (jnp.arange(x.shape[1]), *jax.tree.map(lambda a: jnp.moveaxis(a, 1, 0), (x, mask)))
    (carry, state), y = jax.lax.scan(body, (carry, state), over_time)
    return carry, state, jax.tree.map(lambda y: jnp.moveaxis(y, 0, 1), y)


def _widen(leaf: Array) -> Array:
    """A 16-bit float as float32, so that its gradient is not summed in 16 bits over time."""
    narrow = jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.dtype.itemsize < 4
    return leaf.astype(wide_dtype(leaf.dtype)) if narrow else leaf


def _cast_carry(name: str, step: Callable, first: Any, state: State, x: Array) -> Any:
    """The initial carry, cast to the dtypes of the carry that the cell returns for it."""
    returned = jax.eval_shape(lambda first, x: step((first, state), (0, x))[0][0], first, x)
    expected, got = (jax.tree.map(jnp.shape, carry) for carry in (first, returned))
    if expected != got:
        raise LayerError(
            f"{name} expects the cell to return a carry of the initial shape, {expected}, "
            f"but it returned {got}; pass an initial carry of the shape that the cell returns"
        )
    return jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), first, returned)
